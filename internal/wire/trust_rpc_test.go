package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"dtc"
	"dtc/internal/bounds"
)

func sampleState() dtc.TrustState {
	return dtc.TrustState{
		List: 1 << 40, Bundle: 3, Expires: time.Unix(1_800_000_000, 0), Request: []byte{1, 2, 0},
		Refusals: []dtc.Refusal{{Peer: dtc.Peer{ID: "a1", Role: dtc.RoleViewer}, What: "call Watch", Count: 7, Age: time.Minute}},
	}
}

// What is handed over and what is answered crosses as it is, in both directions.
func TestTrustCalls(t *testing.T) {
	want, grant := sampleState(), dtc.TrustGrant{List: make([]byte, 2<<20), Bundle: []byte("bundle"), Certificate: []byte("pem")}
	r := serve(t, &Server{
		Agent: &fakeAgent{},
		Trust: func(_ context.Context, got dtc.TrustGrant) (dtc.TrustState, error) {
			if !reflect.DeepEqual(got, grant) {
				return dtc.TrustState{}, fmt.Errorf("handed over %d bytes", len(got.List))
			}
			return want, nil
		},
		Renew: func(_ context.Context, peer dtc.Peer, got dtc.TrustState) (dtc.TrustGrant, error) {
			if !reflect.DeepEqual(got, want) || peer.ID != "a1" {
				return dtc.TrustGrant{}, fmt.Errorf("%s is in the state %+v", peer.ID, got)
			}
			return grant, nil
		},
	})
	state, err := r.client(t, r.monitor).Trust(within(t, 20*time.Second), grant)
	if err != nil || !reflect.DeepEqual(state, want) {
		t.Errorf("Trust = %+v, %v", state, err)
	}
	got, err := r.client(t, r.agent).Renew(within(t, 20*time.Second), want)
	if err != nil || !reflect.DeepEqual(got, grant) {
		t.Errorf("Renew: %v", err)
	}
	if _, err = r.client(t, r.monitor).Renew(within(t, 20*time.Second), want); dtc.KindOf(err) != dtc.KindDenied {
		t.Errorf("a monitor asks a monitor: %v", err)
	}
}

// A program that does not hand over, or take, is older; so the rest goes on.
func TestTrustNotOffered(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}, Command: func(context.Context, dtc.Peer, string, json.RawMessage, func(any) error) error { return nil }})
	_, trust := r.client(t, r.monitor).Trust(within(t, 20*time.Second), dtc.TrustGrant{})
	_, renew := r.client(t, r.agent).Renew(within(t, 20*time.Second), dtc.TrustState{})
	older := serve(t, &Server{Agent: &fakeAgent{}})
	_, missing := older.client(t, older.agent).Renew(within(t, 20*time.Second), dtc.TrustState{})
	for what, err := range map[string]error{"Trust": trust, "Renew": renew, "no such service": missing} {
		if !errors.Is(err, ErrOlder) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A verb is carried out for people and for nobody else, item by item; its error
// is one line, with its kind.
func TestControlFromAfar(t *testing.T) {
	r := serve(t, &Server{Command: func(_ context.Context, peer dtc.Peer, verb string, request json.RawMessage, emit func(any) error) error {
		if verb == "fail" {
			return &dtc.Error{Kind: dtc.KindDenied, Err: errors.New("one\ntwo \x1b[31m")}
		}
		for _, item := range []string{peer.ID, string(peer.Role), verb, string(request)} {
			if err := emit(item); err != nil {
				return err
			}
		}
		return nil
	}})
	for _, role := range []dtc.Role{dtc.RoleOperator, dtc.RoleViewer} {
		c := r.client(t, r.issue(t, role, "p1", time.Hour))
		var got []string
		err := c.Control(within(t, 20*time.Second), "verb", map[string]int{"a": 1}, func(m json.RawMessage) error {
			var s string
			err := json.Unmarshal(m, &s)
			got = append(got, s)
			return err
		})
		if want := []string{"p1", string(role), "verb", `{"a":1}`}; err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v, want %q", got, err, want)
		}
		err = c.Control(within(t, 20*time.Second), "fail", nil, nil)
		if dtc.KindOf(err) != dtc.KindDenied || err.Error() != "one; two \uFFFD[31m" {
			t.Errorf("error %q of kind %s", err, dtc.KindOf(err))
		}
		stop := errors.New("enough")
		if err := c.Control(within(t, 20*time.Second), "verb", nil, func(json.RawMessage) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("an error of the caller's own became %v", err)
		}
	}
	for name, own := range map[string]tls.Certificate{"an agent": r.agent, "a monitor": r.monitor} {
		if err := r.client(t, own).Control(within(t, 20*time.Second), "verb", nil, nil); dtc.KindOf(err) != dtc.KindDenied {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Each role may call what it may call, and an unknown one nothing.
func TestMayCall(t *testing.T) {
	const people = "operator viewer"
	all := map[string]string{
		AgentServiceInfoProcedure: "monitor " + people, AgentServiceGetProcedure: "monitor " + people,
		AgentServicePreviewProcedure: "monitor " + people, AgentServiceWatchProcedure: "monitor",
		AgentServiceCheckProcedure: "monitor", AgentServiceAcknowledgeProcedure: "monitor", AgentServiceTrustProcedure: "monitor",
		MonitorServiceTrustProcedure: "agent " + people, MonitorServiceControlProcedure: people, "/": "", "": "",
	}
	for procedure, may := range all {
		for _, role := range []dtc.Role{dtc.RoleMonitor, dtc.RoleAgent, dtc.RoleOperator, dtc.RoleViewer, "", "root"} {
			want := slices.Contains(strings.Fields(may), string(role))
			if got := mayCall(role, procedure); got != want {
				t.Errorf("mayCall(%q, %q) = %v", role, procedure, got)
			}
		}
	}
	if n := File_wire_proto.Services().Get(0).Methods().Len() + File_wire_proto.Services().Get(1).Methods().Len(); n != len(all)-2 {
		t.Errorf("%d calls are in the table, %d in the protocol", len(all)-2, n)
	}
}

// The first of the same is told at once, the rest is counted; many different
// ones are as one.
func TestRefusals(t *testing.T) {
	a, b := dtc.Peer{ID: "a", Role: dtc.RoleViewer}, dtc.Peer{ID: "b"}
	for _, told := range []bool{false, true} {
		r := &Refusals{Told: told}
		firsts := []bool{r.Note(a, "x"), r.Note(a, "x"), r.Note(a, "y"), r.Note(b, "x"), r.Note(a, "x")}
		if want := []bool{true, false, true, true, false}; !slices.Equal(firsts, want) {
			t.Errorf("told at once: %v", firsts)
		}
		var got []string
		for _, one := range r.Take() {
			got = append(got, fmt.Sprint(one.Peer.ID, one.What, one.Count))
		}
		want := []string{"ax3", "ay1", "bx1"}
		if told {
			want = []string{"ax2"}
		}
		if !slices.Equal(got, want) {
			t.Errorf("told %v: counted %q, want %q", told, got, want)
		}
		if r.Note(a, "x") || len(r.Take()) != 1 || len(r.Take()) != 0 || !r.Note(a, "x") {
			t.Error("it does not begin anew after a while without")
		}
	}
	r := &Refusals{}
	for i := range 5000 {
		r.Note(dtc.Peer{ID: fmt.Sprint(i)}, "x")
	}
	if n := len(r.Take()); n != maxRefusals+1 {
		t.Errorf("%d different ones are remembered", n)
	}
}

// A dialed connection ends when its peer is not trusted any more.
func TestGuard(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	conn, err := r.dialer(r.monitor).Dial(within(t, 20*time.Second), r.at, ProtoRPC)
	if err != nil {
		t.Fatal(err)
	}
	changed, gone := make(chan struct{}), errors.New("revoked")
	verdicts := make(chan error)
	ended := make(chan error)
	ctx := within(t, 20*time.Second)
	go func() {
		ended <- Guard(ctx, conn, func() <-chan struct{} { return changed }, func(tls.ConnectionState) error {
			return <-verdicts
		})
	}()
	verdicts <- nil
	close(changed)
	verdicts <- gone
	if err := <-ended; !errors.Is(err, gone) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := conn.Read(make([]byte, 1)); err == nil {
		t.Error("the connection is open")
	}
}

// An open connection is closed by what it has proven, and by nothing else.
func TestRecheck(t *testing.T) {
	s := &Server{Agent: &fakeAgent{}}
	r := serve(t, s)
	one, other := r.client(t, r.monitor), r.client(t, r.issue(t, dtc.RoleOperator, "o1", time.Hour))
	for _, c := range []*Client{one, other} {
		if _, err := c.Info(within(t, 20*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	kept, dropped := one.conn, other.conn
	s.Recheck(func(state tls.ConnectionState) error {
		if state.PeerCertificates[0].Subject.CommonName == "operator/o1" {
			return errors.New("revoked")
		}
		return nil
	})
	soon(t, "the end of the connection", func() bool { return dropped.Err() != nil })
	if kept.Err() != nil {
		t.Error("the other one ended too")
	}
}

// A peer whose clock finds this side's certificate over makes one line that says
// from when to when it is, on the side that it is refused on; the other side's log
// has one too, however often that happens.
func TestWrongClock(t *testing.T) {
	r := serve(t, &Server{Agent: &fakeAgent{}})
	over := r.issue(t, dtc.RoleMonitor, "m2", -time.Minute)
	leaf, err := x509.ParseCertificate(over.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	over.Leaf = leaf
	for range 5 {
		_, err := r.client(t, over).Info(within(t, 20*time.Second))
		if dtc.KindOf(err) != dtc.KindCertificate || !errors.Is(err, ErrDates) ||
			!strings.Contains(err.Error(), "this host's clock says") || strings.Contains(err.Error(), "\n") {
			t.Fatalf("error %v of kind %s", err, dtc.KindOf(err))
		}
	}
	cfg := r.clientTLS(r.monitor)
	cfg.Time = func() time.Time { return time.Now().Add(-48 * time.Hour) }
	d := Dialer{TLS: func(netip.Addr) *tls.Config { return cfg }}
	if _, err := d.Dial(within(t, 20*time.Second), r.at, ProtoRPC); dtc.KindOf(err) != dtc.KindCertificate {
		t.Errorf("dial with a clock that is behind: %v", err)
	}
	if n := strings.Count(r.logged.String(), "is a clock wrong"); n != 1 {
		t.Errorf("the listener says so %d times:\n%s", n, r.logged)
	}
}

// FuzzTrust has both sides read whatever the other may send about whom to trust.
func FuzzTrust(f *testing.F) {
	state, grant := sampleState(), dtc.TrustGrant{List: []byte("l"), Bundle: []byte("b"), Certificate: []byte("c")}
	for _, m := range []proto.Message{newTrustState(&state), newTrustGrant(&grant), &ControlRequest{Verb: []byte("v"), Request: []byte("{}")}} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		m := new(TrustStateMessage)
		if proto.Unmarshal(b, m) == nil {
			s := m.trustState()
			again := newTrustState(&s).trustState()
			if !reflect.DeepEqual(s, again) && !s.Expires.IsZero() {
				t.Errorf("%+v became %+v", s, again)
			}
			if len(s.Refusals) > maxRefusals+1 {
				t.Errorf("%d refusals", len(s.Refusals))
			}
			for _, r := range s.Refusals {
				if len(r.What) > 4*maxShort || strings.ContainsAny(r.What+r.Peer.ID, "\n\x1b") || r.Age < 0 {
					t.Errorf("refusal %+v", r)
				}
			}
		}
		if g := new(TrustGrantMessage); proto.Unmarshal(b, g) == nil {
			grant := g.grant()
			_ = newTrustGrant(&grant)
		}
	})
}

// FuzzCommand has both sides read whatever comes of a command and its answer, and
// the control socket's caller what the service says.
func FuzzCommand(f *testing.F) {
	for _, m := range []proto.Message{
		&ControlRequest{Verb: []byte("logs-verify"), Request: []byte(`{"hosts":["web1"]}`)},
		&ControlMessage{Item: []byte(`{"token":"x"}`)},
		&AcknowledgeRequest{Run: []byte("r"), Number: 7},
	} {
		b, err := proto.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"item":{"a":1}}` + "\n" + `{"end":true}` + "\n"))
	f.Add([]byte(`{"error":"no","kind":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		defer bounds.Alloc(t, len(b))()
		if m := new(ControlRequest); proto.Unmarshal(b, m) == nil && len(cut(m.Verb, maxShort)) > maxShort {
			t.Error("a long verb")
		}
		_ = proto.Unmarshal(b, new(ControlMessage))
		_ = proto.Unmarshal(b, new(AcknowledgeRequest))
		items := 0
		if err := readControl(t.Context(), bytes.NewReader(b), func(json.RawMessage) error { items++; return nil }); err == nil && items > len(b) {
			t.Errorf("%d items of %d bytes", items, len(b))
		}
	})
}
