package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	kubeinformers "k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

const label = "gatehouse.test/by"

// change is what an informer was told: which one, of which object, what has become of it.
type change struct {
	informer int
	object   string
	what     string
}

func told(changes chan<- change, informer int) cache.ResourceEventHandlerFuncs {
	say := func(object any, what string) {
		if gone, ok := object.(cache.DeletedFinalStateUnknown); ok {
			object = gone.Obj
		}
		changes <- change{informer, object.(*corev1.ConfigMap).Name, what}
	}
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(object any) { say(object, "created") },
		UpdateFunc: func(_, object any) { say(object, "updated to "+object.(*corev1.ConfigMap).Data["value"]) },
		DeleteFunc: func(object any) { say(object, "deleted") },
	}
}

// informers starts n of them, each for one object; then each object is created, changed and deleted.
func informers(ctx context.Context, s *session, arguments []string) (map[string]any, error) {
	namespace := arguments[0]
	n, err := strconv.Atoi(arguments[1])
	if err != nil {
		return nil, err
	}
	// The transport dials for each of many that come at once, before it knows that one connection is enough.
	if _, err := s.clients.Discovery().ServerVersion(); err != nil {
		return nil, err
	}
	changes := make(chan change, 3*n)
	for i := range n {
		// By name, which the apiserver's cache has an index for: with a label it tells every watch of every change, and ends those that lag behind.
		factory := kubeinformers.NewSharedInformerFactoryWithOptions(s.clients, 0, kubeinformers.WithNamespace(namespace),
			kubeinformers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = fmt.Sprintf("metadata.name=informer-%d", i) }))
		informer := factory.Core().V1().ConfigMaps().Informer()
		if _, err := informer.AddEventHandler(told(changes, i)); err != nil {
			return nil, err
		}
		factory.StartWithContext(ctx)
		if i%50 == 49 || i == n-1 { // fifty at once are enough for one that starts
			if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
				return nil, errors.New("an informer did not get its list")
			}
		}
	}
	maps := s.clients.CoreV1().ConfigMaps(namespace)
	object := func(i int, value string) *corev1.ConfigMap {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("informer-%d", i)}, Data: map[string]string{"value": value}}
	}
	steps := []struct {
		what string
		do   func(i int) error
	}{
		{"created", func(i int) error { _, err := maps.Create(ctx, object(i, "one"), metav1.CreateOptions{}); return err }},
		{"updated to two", func(i int) error { _, err := maps.Update(ctx, object(i, "two"), metav1.UpdateOptions{}); return err }},
		{"deleted", func(i int) error { return maps.Delete(ctx, fmt.Sprintf("informer-%d", i), metav1.DeleteOptions{}) }},
	}
	saw := map[string]any{"informers": n}
	for step, want := range steps {
		if step == 1 { // silence, in which the library's PINGs (one a second, by its environment) keep the connection
			select {
			case <-time.After(4 * time.Second):
			case c := <-changes:
				return nil, fmt.Errorf("nothing was done, and informer %d saw %s %s", c.informer, c.object, c.what)
			}
		}
		if err := sideBySide(n, want.do); err != nil {
			return nil, err
		}
		seen := make([]bool, n)
		for range n {
			select {
			case c := <-changes:
				if c.object != fmt.Sprintf("informer-%d", c.informer) || c.what != want.what || seen[c.informer] {
					return nil, fmt.Errorf("informer %d saw that %s was %s when all were %s", c.informer, c.object, c.what, want.what)
				}
				seen[c.informer] = true
			case <-ctx.Done():
				return nil, fmt.Errorf("not every informer saw its object %s", want.what)
			}
		}
		saw[want.what] = n
	}
	return saw, nil
}

// sideBySide does it for 0 to n-1, some at a time, and returns an error that there was.
func sideBySide(n int, do func(int) error) error {
	const workers = 20
	failed := make([]error, workers)
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for i := w; i < n && failed[w] == nil; i += workers {
				failed[w] = do(i)
			}
		})
	}
	group.Wait()
	return errors.Join(failed...)
}

// objects does with ConfigMaps what a controller does with objects that it has no types for.
func objects(ctx context.Context, s *session, arguments []string) (map[string]any, error) {
	namespace := arguments[0]
	_, resources, err := s.clients.Discovery().ServerGroupsAndResources()
	if err != nil {
		return nil, err
	}
	client, err := dynamic.NewForConfig(s.config)
	if err != nil {
		return nil, err
	}
	all := client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "configmaps"})
	maps := all.Namespace(namespace)
	named := func(name, value string) *unstructured.Unstructured {
		return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap",
			"metadata": map[string]any{"name": name, "labels": map[string]any{label: "dynamic"}}, "data": map[string]any{"value": value}}}
	}
	apply := metav1.ApplyOptions{FieldManager: "one"}
	first, err := maps.Apply(ctx, "dynamic-0", named("dynamic-0", "one"), apply)
	if err != nil {
		return nil, err
	}
	events, err := maps.Watch(ctx, metav1.ListOptions{LabelSelector: label + "=dynamic", ResourceVersion: first.GetResourceVersion()})
	if err != nil {
		return nil, err
	}
	defer events.Stop()
	await := func(kind watch.EventType, name, value string) error {
		select {
		case e, open := <-events.ResultChan():
			if !open {
				return errors.New("the watch ended")
			}
			o := e.Object.(*unstructured.Unstructured)
			got, _, _ := unstructured.NestedString(o.Object, "data", "value")
			if e.Type != kind || o.GetName() != name || got != value {
				return fmt.Errorf("the watch said %s %s %q, not %s %s %q", e.Type, o.GetName(), got, kind, name, value)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("the watch never said %s %s", kind, name)
		}
	}

	_, err = maps.Apply(ctx, "dynamic-0", named("dynamic-0", "two"), metav1.ApplyOptions{FieldManager: "other"})
	if !apierrors.IsConflict(err) {
		return nil, fmt.Errorf("a second manager of a field: %v, not a conflict", err)
	}
	for _, p := range []struct {
		kind         types.PatchType
		patch, value string
	}{
		{types.MergePatchType, `{"data":{"value":"merged"}}`, "merged"},
		{types.JSONPatchType, `[{"op":"replace","path":"/data/value","value":"replaced"}]`, "replaced"},
		{types.StrategicMergePatchType, `{"data":{"value":"strategic"}}`, "strategic"},
	} {
		if _, err := maps.Patch(ctx, "dynamic-0", p.kind, []byte(p.patch), metav1.PatchOptions{}); err != nil {
			return nil, err
		}
		if err := await(watch.Modified, "dynamic-0", p.value); err != nil {
			return nil, err
		}
	}
	first.Object["data"] = map[string]any{"value": "stale"}
	if _, err = maps.Update(ctx, first, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		return nil, fmt.Errorf("an update of an old version: %v, not a conflict", err)
	}
	for i := 1; i < 5; i++ {
		name := fmt.Sprintf("dynamic-%d", i)
		if _, err := maps.Create(ctx, named(name, "x"), metav1.CreateOptions{}); err != nil {
			return nil, err
		}
		if err := await(watch.Added, name, "x"); err != nil {
			return nil, err
		}
	}
	pages, listed := 0, 0
	for o := (metav1.ListOptions{LabelSelector: label + "=dynamic", Limit: 2}); ; pages++ {
		list, err := maps.List(ctx, o)
		if err != nil {
			return nil, err
		}
		listed += len(list.Items)
		if o.Continue = list.GetContinue(); o.Continue == "" {
			break
		}
	}
	if err := maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: label + "=dynamic"}); err != nil {
		return nil, err
	}
	_, missing := maps.Get(ctx, "dynamic-0", metav1.GetOptions{})
	_, forbidden := all.Namespace("kube-system").Get(ctx, "x", metav1.GetOptions{})
	return map[string]any{"resources": len(resources), "pages": pages + 1, "listed": listed, "missing": apierrors.IsNotFound(missing),
		"forbidden": apierrors.IsForbidden(forbidden), "refusal": fmt.Sprint(forbidden)}, nil
}

// leaders has two candidates; the first one leads until it gives up, then the other does.
func leaders(ctx context.Context, s *session, arguments []string) (map[string]any, error) {
	order := make(chan string, 4)
	candidate := func(name string) (context.CancelFunc, error) {
		lock, err := resourcelock.New(resourcelock.LeasesResourceLock, arguments[0], "client-go", nil, s.clients.CoordinationV1(),
			resourcelock.ResourceLockConfig{Identity: name})
		if err != nil {
			return nil, err
		}
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{Lock: lock, ReleaseOnCancel: true,
			LeaseDuration: 6 * time.Second, RenewDeadline: 4 * time.Second, RetryPeriod: 200 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { order <- name + " leads" },
				OnStoppedLeading: func() { order <- name + " stopped" },
			}})
		if err != nil {
			return nil, err
		}
		mine, cancel := context.WithCancel(ctx)
		go elector.Run(mine)
		return cancel, nil
	}
	next := func(saw []string) ([]string, error) {
		select {
		case what := <-order:
			return append(saw, what), nil
		case <-ctx.Done():
			return nil, fmt.Errorf("nothing came after %v", saw)
		}
	}

	stop, err := candidate("one")
	if err != nil {
		return nil, err
	}
	defer stop()
	saw, err := next(nil)
	if err != nil {
		return nil, err
	}
	stopOther, err := candidate("other")
	if err != nil {
		return nil, err
	}
	defer stopOther()
	stop()
	for range 2 {
		if saw, err = next(saw); err != nil {
			return nil, err
		}
	}
	lease, err := s.clients.CoordinationV1().Leases(arguments[0]).Get(ctx, "client-go", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return map[string]any{"order": saw, "holder": *lease.Spec.HolderIdentity, "changes": *lease.Spec.LeaseTransitions},
		s.clients.CoordinationV1().Leases(arguments[0]).Delete(ctx, "client-go", metav1.DeleteOptions{})
}
