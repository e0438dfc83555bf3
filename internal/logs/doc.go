// Package logs holds the monitor's copies of followed log files: it appends what
// agents ship, each byte once and in order, remembers beside each copy what a
// restart must know, and reads, follows, lists and verifies the copies.
//
// # Words
//
// A stream is one alias of one agent. Its copy is a data file of pure bytes; its
// side record says whose bytes they are. Where retention bounds a copy the data
// file is closed when it is long or old enough, and a new one is begun: a closed
// one is a segment, the other is the live file, and that step a roll. A
// generation is one incarnation of the source's content. A logical position
// counts the bytes that a stream has had; a physical position is one in a data
// file: in the first they differ only when somebody else changed that. An extent
// says that the bytes from a logical position on are those of one generation from
// a source position on. So the position at the source is arithmetic: that of the
// last extent plus the length of what came behind it. Nothing else is written for
// an append to count.
//
// # On disk
//
//	logs/.lock                the lock of the one store that writes here
//	logs/<folder>/<alias>     the live data file, mode 0640
//	logs/<folder>/.<alias>.<n>   a closed segment, mode 0640; n is the logical position
//	                          of its first byte, or a little more where another
//	                          file had that name
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
//	13 hole        logical position, length: counted before it is made
//	14 segment     name, length, length without holes, time of the last byte, device,
//	               inode and time of birth of the live file that was closed; and the
//	               extent with which the next one begins
//	15 drop        logical positions: retention has dropped what lies before the first,
//	               and the files of what lies before the second are removed
//	16 segments    what a compaction keeps of these, and of what was dropped of each
//	               generation
//	17 changed     number of a segment's file, its length (-1: gone), device, inode and
//	               time of birth: what somebody else did to it
//	18 lost        logical position of the end, generation, from, to: bytes that were destroyed,
//	               and told
//
// Data files are numbered from 0 on, each in the place of the one before it,
// whether that was closed, lost or replaced. An extent lies in one of them.
//
// The journal is written anew (a temporary file, fsync, rename, fsync of the
// folder) when it has more than 256 KiB and twice what it had after the last
// time. It remembers at most 64 open and 64 sealed generations (with a 65th open
// one the oldest is given up, and told), 4096 extents, 256 gaps, and thinner
// marks the older they are.
//
// # Retention
//
// A live file is closed before the bytes that would make it longer than an
// eighth of the size that is to be kept (at least 1 MiB, at most 256 MiB or a
// 48th of the size), or when its first byte came longer ago than an eighth of the
// age. Holes do not count. Whole segments are dropped, the oldest first, when what
// is newer has the size, or when their last byte is older than the age; each
// minute, after each roll, and when what is to be kept changes. The live file is
// never dropped. A copy has at most 64 segments: with so many it is not closed.
//
// A live file that is long enough goes on, by a quarter at most, until no more than
// 4 MiB of it are not durable: for the rest its writer waits.
//
// A roll makes everything durable, gives the live file its new name, makes a new
// one, syncs the folder, and writes one record that says all of it. Until that is
// there a load takes the names back; if only that is there, it gives them again.
// A drop is written down before the files are removed, and their removal after
// it: so no reader finds a file missing that it was told of, but the one that
// lags behind what is kept, which it is told too. What proves a generation is
// written down before the bytes that it was made of are dropped. A reader that
// has begun has open what it is going to read.
//
// # Reading
//
// A reader needs the files alone. First it gives what they hold as they are, then
// what the stream gets behind that, by logical positions: a byte that somebody
// else put there is never one of these. A position is all that a reader has to
// remember to go on without a gap and without a byte twice.
//
// Where two bytes that stand side by side did not in the source, a line ends and a
// mark stands: those come from the extents and from what was lost, when the byte
// behind them is given, so that a position says of them too what was given. At
// least 4096 NULs in a row are not given as text but as a mark; holes are passed
// over unread, on the way back too.
//
// A follower is told of changes by the system and looks by itself each second. It
// holds the files of 512 copies open, fewer where the system allows no more; the
// others it looks at from outside every 10 s, or when something happens there.
// Each copy gives 512 KiB in its turn, so that a quiet one waits for no other.
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
//   - A roll or a drop was cut short at any step: the next load ends it, or takes it
//     back, without an event. No room for a new file: the live file goes on, and
//     it is tried again after 10 seconds.
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
//     is seen by a verification only. Of a closed segment that was removed, cut,
//     grown or replaced an event tells likewise, at a load, when retention looks,
//     and by a verification; what is there then counts as the copy.
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
