package logs
import ("testing";"fmt";"time";"runtime";"os";"strings";"dtc")
func rss() string { b,_:=os.ReadFile("/proc/self/status"); for l := range strings.Lines(string(b)) { if strings.HasPrefix(l,"VmRSS") {return strings.TrimSpace(l)} }; return "" }
func TestScale(t *testing.T) {
	r := newRig(t, func(o *Options){o.SyncEvery=0})
	a := r.connect(peerA)
	const n = 10000
	t0 := time.Now()
	go func(){ for i := range n { a.send(dtc.Frame{Kind: dtc.FrameAttach, Stream: uint32(i+1), Text: fmt.Sprintf("file-%d.log", i)}) } }()
	for range n { f := a.until(dtc.FrameState); a.epoch[f.Stream]=f.Epoch }
	t.Log("attach", time.Since(t0), rss()); t0=time.Now()
	go func(){ for i := range n { a.open(uint32(i+1),1,"some identity of an agent's file, about seventy bytes long, as it is"); a.append(uint32(i+1),1,0,"a first line\n") }; a.send(dtc.Frame{Kind: dtc.FramePing}) }()
	done := 0
	for done < n { f := a.until(dtc.FrameAck); if f.End == 13 { done++ } }
	t.Log("first line durable", time.Since(t0), rss()); t0=time.Now()
	go func(){ for i := range n { a.append(uint32(i+1),1,13,"a second line\n") } }()
	done = 0
	for done < n { f := a.until(dtc.FrameAck); if f.End == 27 { done++ } }
	t.Log("second line durable", time.Since(t0), rss()); t0=time.Now()
	a.close(); t0=time.Now()
	r.stop()
	t.Log("stop", time.Since(t0)); t0=time.Now()
	r = r.again()
	t.Log("open store", time.Since(t0)); t0=time.Now()
	a = r.connect(peerA)
	t.Log("known", len(a.known), time.Since(t0)); t0=time.Now()
	runtime.GC(); t.Log(rss(), openFiles(t))
}
