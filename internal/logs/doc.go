// Package logs holds the monitor's copies of followed log files: it appends what
// agents ship, each byte once and in order, remembers beside each copy what a
// restart must know, and reads, follows, lists and verifies the copies.
//
// # Words
//
// A stream is one alias of one agent. Its copy is a data file of pure bytes; its
// side record says whose bytes they are. A generation is one incarnation of the
// source's content. A logical position counts the bytes that a stream has had;
// a physical position is one in the data file: they differ only when somebody
// else changed that. An extent says that the bytes from a logical position on
// are those of one generation from a source position on. So the position at the
// source is arithmetic: that of the last extent plus the length of what came
// behind it. Nothing else is written for an append to count.
//
// # On disk
//
//	logs/.lock                the lock of the one store that writes here
//	logs/<folder>/<alias>     the data file, mode 0640
//	logs/<folder>/.<alias>.dtc   the side record, mode 0640
//	logs/<folder>/.<alias>.dtc.tmp   a side record in the making; worth nothing
//	logs/<folder>/.probe      exists for a moment when the store tries for room
//
// A side record begins with a block of 4096 bytes: eight sectors, the first of
// them the magic "DTC log side record", a 0 byte, the format's version (1) and
// the CRC-32C of these. The next four are slots, two durable ones and two live
// ones, each pair written in turn, so that a torn write leaves the other. A slot
// is its length and the CRC-32C of the rest (4 bytes each, as all integers
// little-endian), then 8 bytes each: number, count of boot records, number of the
// extent that it belongs to, logical position, physical position, bytes under
// way, CRC-32C of the receiving generation, length of the journal that is safe,
// length of the marker; then the marker's 16 bytes of SHA-256.
//
//   - A durable slot is written after an fdatasync of the data file (a syncfs
//     for 64 streams and more): what lies before it no power loss can take. It
//     is synced itself before the agent is told so. An extent record is such a
//     mark too: the data is synced before it, the record before any byte of it.
//   - A live slot is written before each append, into the page cache only: the
//     position before it and the number of bytes. After a kill the size of the
//     data file lies between the two, and says how far the write came; any other
//     size is somebody else's doing.
//
// Behind the block stands the journal: records of length, CRC-32C (4 bytes each),
// kind (1 byte) and payload, whose numbers are varints (encoding/binary), signed
// ones zigzag, and texts have their length before them.
//
//	 1 header      version, id of the stream, id of the agent, alias, time
//	 2 generation  number, identity, start, position, CRC-32C, end (-1: open), flags,
//	               hash of its head, hash before its position: replaces what was known
//	 3 extent      number, epoch, logical and physical position, generation,
//	               source position, CRC-32C there, whether a foreign change made it
//	 4 gap         of an unknown generation: from, to (-1: unknown), CRC-32C of the
//	               reason, so that it is told once
//	 5 rewind      generation, from, to
//	 6 boot        id of the monitor's boot, device, inode and time of birth of the
//	               data file, whether it holds what the one before it held
//	 7 event       number, time, state, from, to, reason
//	 8 told        up to which number events have been recorded elsewhere
//	 9 mark        logical position, Unix seconds: bytes from there on came then or later
//	10 marks       a row of them as differences, with how many seconds each covers
//	11 summary     what a compaction keeps of extents and boots
//	12 unverified  logical from, to: no source could prove them after a power loss
//	13, 14         reserved: holes, copies in several files
//
// The journal is written anew (a temporary file, fsync, rename, fsync of the
// folder) when it has more than 256 KiB and twice what it had after the last
// time. It remembers at most 64 open and 64 sealed generations (with a 65th open
// one the oldest is given up, and told), 4096 extents, 256 gaps, and thinner
// marks the older they are.
//
// # What happens on failure
//
//   - kill -9 at any instruction: the last live slot and the size of the data
//     file give the position. A record that was cut short is cut off.
//   - Power loss (another boot id): the last durable slot counts. What lies
//     behind it is not trusted: the agent is told the durable position and sends
//     on from there; bytes that are the same stay, from the first other byte on
//     the old ones go. If the source is gone they are kept, without a run of
//     NULs at their end, and called unverified.
//   - A failed fsync: as a power loss, but everything behind the durable slot is
//     written anew, because the page cache no longer tells what the disk has.
//   - A record damaged anywhere but at the torn end: the stream is refused and
//     an event says so. Nothing is guessed.
//   - No room, a read-only or broken disk: the stream waits, its agent keeps the
//     bytes in the source, and every second a probe file is tried.
//   - Somebody cut, grew, replaced, moved or removed the copy, or changed its last
//     bytes: an event says what, and a new extent goes on at the same position of
//     the source behind what there is. Nothing is sent twice, and what lies before
//     proves no position any more. Looked at are the size and the links of the
//     open file around each append, its path every 50 ms of appending, and all of
//     it whenever the copy is loaded. A change of the same length far from the end
//     is seen by a verification only.
//   - Far more streams than may be open at a time: those not used for longest
//     are made durable and let go, and loaded again as after a restart.
//   - Somebody removed the side record: it is written anew, with all that it
//     said, from the open file or from what was kept when it was closed.
//
// # Trust
//
// Agents are proven by their certificate and not trusted: every field of a frame
// is bounded, an alias is a plain name, a folder is never the agent's to choose,
// a stream belongs to the agent that made it until that has no valid certificate
// any more, and what one agent can have remembered, told or held in memory has an
// end. Of two connections with one certificate the newer has a stream as long as
// it lives. A store opens copies only below its folder, never through a symbolic
// link.
package logs
