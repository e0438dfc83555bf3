package wire

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"syscall"
	"time"

	"dtc"
)

// The control socket is HTTP/1.1 over a Unix socket: POST /VERB with a JSON
// request, answered by JSON lines, each a controlLine. The file's mode, and that
// of its folder, say who may use it.

// maxControl is the most bytes of a request to a service or of one line of an
// answer.
const maxControl = 16 << 20

// ErrNoService means that no service listens on the socket.
var ErrNoService = errors.New("the service is not running")

// ErrInUse means that another service listens on the socket already.
var ErrInUse = errors.New("another service already does")

// ControlHandler carries out a verb. What it emits reaches the caller at once.
// The kind and the text of its error reach the caller. ctx is done when the
// caller goes away.
type ControlHandler func(ctx context.Context, verb string, request json.RawMessage, emit func(any) error) error

// controlLine is a line of an answer. The last has End or Error.
type controlLine struct {
	Item  json.RawMessage `json:"item,omitempty"`
	End   bool            `json:"end,omitempty"`
	Error string          `json:"error,omitempty"`
	Kind  dtc.ErrorKind   `json:"kind,omitempty"`
}

// ServeControl listens on the socket until ctx is done, and then ends all within
// three seconds. A socket that nobody listens on any more is replaced; where
// another service listens, ServeControl returns an error. A socket that somebody
// removes is made again within a few seconds.
func ServeControl(ctx context.Context, path string, h ControlHandler, log *slog.Logger) error {
	ln, own, err := listenControl(ctx, path)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	defer func() { removeOwn(path, own) }()

	c := &controlServer{handler: h, log: log}
	server := &http.Server{
		Handler:           c.calls.count(c),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	failed := make(chan error, 1)
	serve := func(ln net.Listener) {
		err := server.Serve(ln)
		if errors.Is(err, net.ErrClosed) || errors.Is(err, http.ErrServerClosed) { // it has a successor, or all ends
			return
		}
		select {
		case failed <- err:
		default:
		}
	}
	serving.Go(func() { serve(ln) })
	look := time.NewTimer(untilLook())
	defer look.Stop()
	for {
		select {
		case err = <-failed:
			return errors.Join(fmt.Errorf("serve %s: %w", path, err), c.stop(ctx, server))
		case <-ctx.Done():
			return c.stop(ctx, server)
		case <-look.C:
		}
		look.Reset(untilLook())
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		again, is, err := listenControl(ctx, path)
		if err != nil {
			log.Debug("make the control socket again", "path", path, "error", err)
			continue
		}
		log.Warn("the control socket was removed, and is made again", "path", path)
		ln.Close()
		ln, own = again, is
		serving.Go(func() { serve(again) })
	}
}

// lookForSocket is how often to look whether the socket is there.
const lookForSocket = 5 * time.Second

// untilLook is the time until the next look. All that an agent does now and
// then it does at the same moments, as a waking costs more than the work.
func untilLook() time.Duration {
	return time.Until(time.Now().Truncate(lookForSocket).Add(lookForSocket))
}

// listenControl makes the socket, unless somebody listens there.
func listenControl(ctx context.Context, path string) (net.Listener, fs.FileInfo, error) {
	if err := nobodyAnswers(ctx, path); err != nil {
		return nil, nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	ln, err := listenUnix(ctx, path)
	if err != nil {
		return nil, nil, err
	}
	own, err := os.Lstat(path)
	if err != nil {
		ln.Close()
		return nil, nil, err
	}
	return ln, own, nil
}

// nobodyAnswers fails if a service is there. One that accepts and breaks off was
// killed, and the system has not closed its files yet: it is asked again.
func nobodyAnswers(ctx context.Context, path string) error {
	ask, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	tick := time.NewTicker(takenEvery)
	defer tick.Stop()
	for {
		err := Control(ask, path, "", nil, nil)
		if errors.Is(err, ErrNoService) {
			return nil
		}
		if err == nil || ask.Err() != nil {
			return ErrInUse
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			return err
		}
		select {
		case <-tick.C:
		case <-ask.Done():
			return ErrInUse
		}
	}
}

// removeOwn removes the socket, unless another service has replaced it.
func removeOwn(path string, own fs.FileInfo) {
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, own) {
		os.Remove(path)
	}
}

type controlServer struct {
	handler ControlHandler
	log     *slog.Logger
	calls   calls
}

// stop gives the handlers a moment to end by themselves.
func (c *controlServer) stop(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2500*time.Millisecond)
	defer cancel()
	grace, cancelGrace := context.WithTimeout(ctx, time.Second)
	defer cancelGrace()
	_ = server.Shutdown(grace) // whoever is not finished then is cut off
	server.Close()
	select {
	case <-c.calls.close():
		return nil
	case <-ctx.Done():
		return errors.New("stop the control socket: a command did not end in time")
	}
}

// ServeHTTP answers one request.
func (c *controlServer) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	out := controlWriter{enc: json.NewEncoder(w), flush: http.NewResponseController(w)}
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxControl))
	if err != nil {
		out.end(fmt.Errorf("read the request: %w", err))
		return
	}
	verb := strings.TrimPrefix(req.URL.Path, "/")
	if verb == "" { // only asks whether somebody is there
		out.end(nil)
		return
	}
	out.end(c.run(req.Context(), verb, body, &out))
}

func (c *controlServer) run(ctx context.Context, verb string, body []byte, out *controlWriter) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.Error("a handler failed: this is a bug", "handler", verb, "panic", p)
			c.log.Debug("where it failed", "stack", string(debug.Stack()))
			err = errors.New("internal error: the service's log says more")
		}
	}()
	return c.handler(ctx, verb, body, out.item)
}

type controlWriter struct {
	mu    sync.Mutex
	enc   *json.Encoder
	flush *http.ResponseController
}

func (w *controlWriter) item(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return w.line(controlLine{Item: b})
}

func (w *controlWriter) end(err error) {
	line := controlLine{End: true}
	if err != nil {
		line = controlLine{Error: err.Error(), Kind: dtc.KindOf(err)}
	}
	_ = w.line(line) // if it fails the caller has gone
}

func (w *controlWriter) line(line controlLine) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.enc.Encode(line); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return w.flush.Flush()
}

// Control has the service that listens on the socket carry out a verb, and
// gives each part of its answer to each, which may be nil. The error is
// [ErrNoService] when there is none, else one of each, or the service's as a
// [*dtc.Error].
func Control(ctx context.Context, path, verb string, request any, each func(json.RawMessage) error) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("ask the service %s: %w", verb, err)
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialUnix(ctx, path) },
	}
	defer transport.CloseIdleConnections()
	at := url.URL{Scheme: "http", Host: "service", Path: "/" + verb}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), strings.NewReader(string(body)))
	if err != nil {
		return fmt.Errorf("ask the service %s: %w", verb, err)
	}
	req.Close = true
	resp, err := transport.RoundTrip(req)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || classify(err) == dtc.KindRefused {
			return ErrNoService
		}
		return fmt.Errorf("ask the service %s: %w", verb, err)
	}
	defer resp.Body.Close()
	return readControl(ctx, resp.Body, each)
}

func readControl(ctx context.Context, body io.Reader, each func(json.RawMessage) error) error {
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, maxControl)
	for lines.Scan() {
		var line controlLine
		switch err := json.Unmarshal(lines.Bytes(), &line); {
		case err != nil:
			return fmt.Errorf("read the service's answer: %w", err)
		case line.End:
			return nil
		case line.Error != "":
			return &dtc.Error{Kind: line.Kind, Err: errors.New(line.Error)}
		case each != nil:
			if err := each(line.Item); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	err := lines.Err()
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read the service's answer: %w", err)
}

// maxSocketPath is what every system allows a socket's path to have.
const maxSocketPath = 100

// socketFits tells why a socket may not have the path.
func socketFits(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("the path is %d bytes long, at most %d are possible: use a home with a shorter one", len(path), maxSocketPath)
	}
	return nil
}

// dialUnix connects to a socket, however long its path is.
func dialUnix(ctx context.Context, path string) (net.Conn, error) {
	dir, err := openSocketDir(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	short, err := dir.path(filepath.Base(path))
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", short)
}
