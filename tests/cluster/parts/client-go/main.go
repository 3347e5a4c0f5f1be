// Command client-go does with a cluster what Kubernetes programs written in Go do, by the libraries that they use, and prints what it saw as one
// JSON object. It ends with 1 and says why as soon as something is not as it has to be.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const usage = `usage: client-go KUBECONFIG COMMAND ARGUMENT...
  informers NAMESPACE N              N informers, each with a watch of its own: every change arrives at the one that it is for
  exec NAMESPACE POD WAY             input, output, errors, exit codes and a terminal, by WAY: spdy or websocket
  port-forward NAMESPACE POD WAY P   connections to what listens at the pod's port 80, which ends at our own port P
  objects NAMESPACE                  the dynamic client: discovery, apply, patches, conflicts, pages, watches, what is refused
  leaders NAMESPACE                  two candidates for one lease
`

// session is a way to the cluster, and a count of what was done on it.
type session struct {
	config    *rest.Config
	clients   *kubernetes.Clientset
	dialled   atomic.Int64
	watches   atomic.Int64
	mutex     sync.Mutex
	protocols map[string]int
}

type command func(context.Context, *session, []string) (map[string]any, error)

func main() {
	commands := map[string]struct {
		run       command
		arguments int
	}{"informers": {informers, 2}, "exec": {execute, 3}, "port-forward": {forward, 4}, "objects": {objects, 1}, "leaders": {leaders, 1}}
	if len(os.Args) < 3 || commands[os.Args[2]].run == nil || len(os.Args) != 3+commands[os.Args[2]].arguments {
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	s, err := open(os.Args[1])
	var saw map[string]any
	if err == nil {
		saw, err = commands[os.Args[2]].run(ctx, s, os.Args[3:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client-go:", err)
		os.Exit(1)
	}
	saw["connections"], saw["watches"], saw["protocols"] = s.dialled.Load(), s.watches.Load(), s.protocols
	if err := json.NewEncoder(os.Stdout).Encode(saw); err != nil {
		os.Exit(1)
	}
}

func open(kubeconfig string) (*session, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, err
	}
	s := &session{config: config, protocols: map[string]int{}}
	config.QPS = -1 // as fast as it goes
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	config.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		s.dialled.Add(1)
		return dialer.DialContext(ctx, network, address)
	}
	config.Wrap(func(inner http.RoundTripper) http.RoundTripper { return counting{s, inner} })
	s.clients, err = kubernetes.NewForConfig(config)
	return s, err
}

type counting struct {
	s     *session
	inner http.RoundTripper
}

func (c counting) RoundTrip(request *http.Request) (*http.Response, error) {
	if watch, _ := strconv.ParseBool(request.URL.Query().Get("watch")); watch {
		c.s.watches.Add(1)
	}
	response, err := c.inner.RoundTrip(request)
	if err == nil {
		c.s.mutex.Lock()
		c.s.protocols[response.Proto]++
		c.s.mutex.Unlock()
	}
	return response, err
}
