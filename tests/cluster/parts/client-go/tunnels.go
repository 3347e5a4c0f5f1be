package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/httpstream"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
)

const megabyte = 1 << 20

func (s *session) podURL(namespace, pod, subresource string, options *corev1.PodExecOptions) *url.URL {
	request := s.clients.CoreV1().RESTClient().Post().Namespace(namespace).Resource("pods").Name(pod).SubResource(subresource)
	if options != nil {
		request = request.VersionedParams(options, scheme.ParameterCodec)
	}
	return request.URL()
}

func (s *session) executor(way string, to *url.URL) (remotecommand.Executor, error) {
	switch way {
	case "spdy":
		return remotecommand.NewSPDYExecutor(s.config, "POST", to)
	case "websocket":
		return remotecommand.NewWebSocketExecutor(s.config, "GET", to.String())
	}
	return nil, fmt.Errorf("no such way: %s", way)
}

// sizes tells the one size of a terminal, and then no other.
type sizes chan remotecommand.TerminalSize

func (s sizes) Next() *remotecommand.TerminalSize {
	if size, ok := <-s; ok {
		return &size
	}
	return nil
}

// screen is a terminal's output. Once it has shown the text, a line is typed.
type screen struct {
	shown  bytes.Buffer
	text   string
	typing io.WriteCloser
}

func (s *screen) Write(p []byte) (int, error) {
	n, err := s.shown.Write(p)
	if s.typing != nil && strings.Contains(s.shown.String(), s.text) {
		typing := s.typing
		s.typing = nil
		go func() {
			io.WriteString(typing, "\n")
			typing.Close()
		}()
	}
	return n, err
}

func execute(ctx context.Context, s *session, arguments []string) (map[string]any, error) {
	namespace, pod, way := arguments[0], arguments[1], arguments[2]
	run := func(script string, streams remotecommand.StreamOptions) error {
		options := corev1.PodExecOptions{Command: []string{"sh", "-c", script}, Stdin: streams.Stdin != nil, Stdout: true,
			Stderr: streams.Stderr != nil, TTY: streams.Tty}
		executor, err := s.executor(way, s.podURL(namespace, pod, "exec", &options))
		if err != nil {
			return err
		}
		return executor.StreamWithContext(ctx, streams)
	}

	sent := make([]byte, 4*megabyte)
	if _, err := rand.Read(sent); err != nil {
		return nil, err
	}
	var got, stderr bytes.Buffer
	err := run(fmt.Sprintf("head -c %d; echo to-stderr >&2", len(sent)),
		remotecommand.StreamOptions{Stdin: bytes.NewReader(sent), Stdout: &got, Stderr: &stderr})
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(got.Bytes(), sent) || stderr.String() != "to-stderr\n" {
		return nil, fmt.Errorf("%d bytes came back, and %q", got.Len(), stderr.String())
	}
	failed := run("exit 7", remotecommand.StreamOptions{Stdout: io.Discard, Stderr: io.Discard})
	if failed == nil {
		return nil, errors.New("a command that failed did not")
	}
	size := make(sizes, 1)
	size <- remotecommand.TerminalSize{Width: 101, Height: 37}
	defer close(size)
	typed, typing := io.Pipe()
	terminal := screen{text: "resized", typing: typing}
	// The last words of a terminal may be lost on kwok's side: the shell ends when it knows that they were read.
	err = run(`test -t 1 && stty -echo && until [ "$(stty size)" = "37 101" ]; do sleep 0.05; done; echo resized; read line`,
		remotecommand.StreamOptions{Stdin: typed, Stdout: &terminal, Tty: true, TerminalSizeQueue: size})
	if err != nil {
		return nil, fmt.Errorf("the terminal: %w, after %q", err, terminal.shown.String())
	}
	return map[string]any{"bytes": got.Len(), "failure": failed.Error(), "terminal": strings.TrimSpace(terminal.shown.String())}, nil
}

func (s *session) dialer(way string, to *url.URL) (httpstream.Dialer, error) {
	switch way {
	case "spdy":
		transport, upgrader, err := spdy.RoundTripperFor(s.config)
		if err != nil {
			return nil, err
		}
		return spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", to), nil
	case "websocket":
		return portforward.NewSPDYOverWebsocketDialer(to, s.config)
	}
	return nil, fmt.Errorf("no such way: %s", way)
}

// echo answers with what it is sent until there is no more of it.
func echo(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer connection.Close()
			io.Copy(connection, connection)
		}()
	}
}

// thereAndBack sends bytes to a port and reads them again.
func thereAndBack(port uint16) error {
	connection, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer connection.Close()
	sent, got := make([]byte, megabyte), make([]byte, megabyte)
	if _, err := rand.Read(sent); err != nil {
		return err
	}
	go connection.Write(sent)
	if _, err := io.ReadFull(connection, got); err != nil {
		return err
	}
	if !bytes.Equal(sent, got) {
		return errors.New("other bytes came back")
	}
	return nil
}

func forward(ctx context.Context, s *session, arguments []string) (map[string]any, error) {
	const connections = 32
	listener, err := net.Listen("tcp", "127.0.0.1:"+arguments[3])
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	go echo(listener)
	dialer, err := s.dialer(arguments[2], s.podURL(arguments[0], arguments[1], "portforward", nil))
	if err != nil {
		return nil, err
	}
	stop, ready, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:80"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		return nil, err
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return nil, fmt.Errorf("not forwarded: %w", err)
	case <-ctx.Done():
		return nil, errors.New("port-forward was not ready in time")
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return nil, err
	}
	if err := sideBySide(connections, func(int) error { return thereAndBack(ports[0].Local) }); err != nil {
		return nil, err
	}
	close(stop)
	if err := <-ended; err != nil {
		return nil, err
	}
	return map[string]any{"forwarded": connections}, nil
}
