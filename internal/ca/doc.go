// Package ca is the fleet's own authority: it makes the CA and the monitor's
// certificate, invites, joins, issues, renews and revokes agents and operators,
// moves the fleet to another CA, and gives all programs the TLS configurations
// that prove one to the other. It is the only place that knows X.509.
//
// # Files
//
// All lie in conf/tls of the home. Keys are PEM, PKCS #8, ECDSA P-256, mode
// 0600; they are never overwritten (but ca.key by ca-next.key), and a key that
// others may read is refused
// when it is loaded. Certificates are PEM, one in a file, mode 0644.
//
//	ca.crt                      the fleet's CA, on every host; while it changes, both
//	ca.key                      the key of the one that signs, on the monitor only
//	ca-next.key                 that of the one that is going to, likewise
//	monitor.crt  monitor.key    the monitor's
//	agent.crt    agent.key      an agent's
//	operator.crt operator.key   an operator's or a viewer's, on a machine of theirs
//	revoked                     the signed list of revoked certificates, on every host
//	issued                      the register of certificates and tokens, mode 0600, on the monitor only
//	.lock                       held by whoever changes one of the others
//
// # Certificates
//
// The CA is self-signed, lives ten years, may sign leaves only (path length 0),
// and has the subject CN=DTC fleet CA in every fleet. A leaf has an empty
// subject; its subject alternative names are the ips, and one URI
//
//	dtc://ROLE/ID
//
// where ROLE is monitor, agent, operator or viewer, and ID is 32 hexadecimal digits, random, kept
// when the same key is certified again. Leaves are good for server and client
// authentication; an agent's lives a year and is renewed when two thirds of it
// are over, with the same key, id and ips; an operator's has no ip and lives as
// long as was asked for, and is not renewed. The monitor's lives as long as the
// CA: its key lies beside the CA's, so that a shorter life would protect
// nothing. No certificate outlives the CA. All begin a day before they were
// made, for hosts whose clock is behind or runs on local time.
//
// # The register
//
// `issued` is UTF-8 text, one JSON object a line. The first is the header,
// each of the others holds one certificate or one token:
//
//	{"format":"dtc-issued","version":1}
//	{"certificate":{"id":"…","name":"web1","role":"agent","ips":["10.0.0.7"],"serial":"…","key":"…","expires":"2027-11-22T09:00:00Z"}}
//	{"token":{"hash":"…","name":"web2","ips":["10.0.0.8"],"ends":"2026-11-22T10:00:00Z"}}
//
// "trust" and "left_behind" in a certificate's line belong to a change of the CA.
// The monitor's own is called monitor; an agent may have that name too. A
// certificate's key is the hexadecimal SHA-256 of its public key (the DER of
// SubjectPublicKeyInfo). There is one line an id: certifying a key again
// replaces it. A revoked one has "revoked", the time; it stays for good. A
// token's hash is the hexadecimal SHA-256 of "dtc-token-1:" and the secret;
// the secret itself is stored nowhere. A used one has "used": key, id, at, and
// rejoined. Tokens that ended more than a week ago are dropped. An id that the
// register does not have is not valid, so that losing the register, or lines
// of it, revokes and never un-revokes.
//
// The register is replaced in one step under the lock, by the service or by a
// command; [Authority.Reload] notices what another process wrote.
//
// # Tokens
//
// A token is "dtc1_" and 56 bytes in base32 (RFC 4648, small letters, no
// padding): the SHA-256 of the CA's public key (32), the secret (20), and the
// first 4 bytes of the SHA-256 of "dtc1_" and those 52, by which a damaged
// paste is told from a token that nobody knows.
//
// # Statements
//
// What the CA says besides certificates is a statement: which certificates are
// revoked (`revoked`, ids of 1 to 64 small letters and digits, ascending), and
// which CAs are to be trusted (certificates in DER, the one that signs first).
// Their bytes stand at the type statement. Each has a number that only grows: that
// of a list is the Unix time in seconds when it was made, or one more than the
// last; that of the CAs counts by one, from 0 for a fleet whose CA never changed.
// Who has one takes no older one, and none by a CA that it does not trust. A list
// by the CA that signs replaces any of the other one. A revoked certificate stays
// on the list until 30 days after its end. In ca.crt the number of the CAs stands
// in a first line "# dtc trust N".
//
// # Another CA
//
// The change goes through the phases that stand at [Phase]. In each of them the
// monitor hands its statement to every agent; the next begins when all have said
// that they have it, and that their certificate is by the CA that signs.
//
// # Joining
//
// The agent dials with ALPN dtc-join/1 alone, is asked for no certificate, and
// is shown the monitor's leaf and ca.crt. It goes on only if the CA's public
// key has the token's hash, the CA has signed the leaf, and the leaf's role is
// monitor; only then does it send the secret and a certification request, of
// which nothing but the public key is taken. A token is used up by the first
// key that it certifies. As the register is written before the answer leaves,
// that key may come again with it while it lives, and gets the same name, ips
// and id: an answer that was lost on the way costs nothing.
package ca
