// Command tlscopy copies files over TLS 1.3 with nothing else around it: it is
// what a figure of following is compared with.
//
//	tlscopy receive TO          prints its address; what comes over each connection is TO anew
//	tlscopy send ADDRESS FROM   sends FROM and waits until all of it is written
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"
)

// frame is how many bytes are read, sent and appended at a time, as in DTC.
const frame = 256 << 10

func main() {
	var err error
	if os.Args[1] == "receive" {
		err = receive(os.Args[2])
	} else {
		err = send(os.Args[2], os.Args[3])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// certificate returns a fresh one that nobody checks.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func receive(to string) error {
	cert, err := certificate()
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	for {
		raw, err := ln.Accept()
		if err != nil {
			return err
		}
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13})
		if err := store(conn, to); err != nil {
			return err
		}
	}
}

func store(conn *tls.Conn, to string) error {
	defer conn.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	buf := make([]byte, frame)
	for {
		n, err := io.ReadFull(conn, buf)
		if _, err := out.Write(buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func send(address, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	conn, err := tls.Dial("tcp", address, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, DynamicRecordSizingDisabled: true, // full records from the start
	})
	if err != nil {
		return err
	}
	buf := make([]byte, frame)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if _, err := conn.Write(buf[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	_, err = conn.Read(buf)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}
