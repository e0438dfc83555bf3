package wire

import (
	"time"

	"google.golang.org/protobuf/proto"

	"dtc"
)

// Prepare makes what the first question of a program needs: the tables by which
// protobuf reads and writes the messages of a status, and HTTP's. They are made
// with the first message otherwise, while the host's answer waits; a program that
// asks once can make them while it reads its configuration.
func Prepare(status dtc.Status) {
	shared()
	q := dtc.Query{Status: status}
	if _, err := proto.Marshal(&GetRequest{Status: []byte(status)}); err != nil {
		return
	}
	// Nothing comes of this but the tables: an error shows with the real message.
	_ = newEncoder(&q).send(sample(status), func(m *PartMessage) error {
		data, err := proto.Marshal(m)
		if err != nil {
			return err
		}
		m = new(PartMessage)
		if err := proto.Unmarshal(data, m); err != nil {
			return err
		}
		_, err = newDecoder(&q).decode(m)
		return err
	})
}

// sample returns a report with something in all that the status has.
func sample(status dtc.Status) *dtc.Report {
	r := &dtc.Report{
		Status: status, CollectedAt: time.Now(),
		Process: make([]dtc.Process, 1), OpenFiles: make([]dtc.OpenFile, 1), Disk: make([]dtc.Disk, 1), Interfaces: make([]dtc.Interface, 1),
		Sockets: make([]dtc.Socket, 1), Users: make([]dtc.User, 1), Services: make([]dtc.Service, 1),
	}
	if status == dtc.StatusMemory {
		r.Memory = new(dtc.Memory)
	}
	if status == dtc.StatusCPU {
		r.CPU = new(dtc.CPU)
	}
	if status == dtc.StatusPlatform {
		r.Platform = new(dtc.Platform)
	}
	return r
}
