// Package iso holds a streaming ISO 9660 writer: a tree of entries becomes a
// disc image that is laid out first and then written once, front to back, to
// any [io.Writer]. It does not read discs (except the volume set identifier,
// [VolumeSetID]), does not make the FAT file system of the boot partition and
// knows nothing of what Doppel puts on a disc.
//
// # What is on the disc
//
// Logical blocks have 2048 bytes; "sector" below means one of them.
//
//	sector   content                               standard
//	0-15     system area: MBR and GPT, or zeroes   ECMA-119 6.2.1, UEFI 5.3
//	16       primary volume descriptor             ECMA-119 8.4
//	17       boot record (bootable discs only)     El Torito 2.0, figure 7
//	18       supplementary descriptor, Joliet      ECMA-119 8.5, Joliet 1995
//	19       set terminator                        ECMA-119 8.3
//	20-      path tables: L and M, primary, Joliet ECMA-119 9.4
//	...      directories of the primary tree, each followed by its
//	         continuation areas                    ECMA-119 9.1, SUSP 1.12 5.1
//	...      directories of the Joliet tree
//	...      boot catalogue                        El Torito 2.0, 2.0-2.4
//	...      one zero sector: where empty files and symbolic links point
//	...      file contents, in the order of [Builder.Add]
//	A        boot partition (ESP), A on a border of 1 MiB
//	end      backup GPT, the whole rounded up to 1 MiB
//
// The boot record must lie in sector 17 (El Torito 1.2): BIOSes look nowhere
// else, which is why the Joliet descriptor comes after it. Without boot files
// everything moves up by one, the system area is zero, and 150 sectors of zeroes end the
// disc, since drives cannot read the last sectors of a disc burned track-at-once.
//
// # Names
//
// Interchange level 3 (ECMA-119 10.3): identifiers of up to 31 characters out of
// A-Z 0-9 _, files in several extents. They are made unique within a directory
// with a number at the end. Directories may be nested deeper than the 8 levels of
// ECMA-119 6.8.2.1; nothing is relocated. (xorriso does so by default too, and no
// reader in use minds.) Rock Ridge (RRIP 1.09, "RRIP_1991A", which every
// reader knows) gives each record its real name (NM 4.1.4), mode and owner 0:0
// (PX 4.1.1), times (TF 4.1.6) and link target (SL 4.1.3). Joliet gives up
// to 64 UCS-2 characters, unique without regard to case; links are not shown.
//
// # Files over 4 GiB
//
// An extent holds less than 4 GiB, so a larger file has several directory records
// in a row, all but the last with the multi-extent flag (ECMA-119 9.1.6), each
// 4 GiB - 2 KiB long. Linux follows at most 100 of them.
//
// # Booting as disc and as disk
//
// BIOSes start a disc through the default entry of the catalogue, and a disk
// through the MBR; UEFI takes the section entry of platform 0xEF, and the EFI
// system partition of the GPT. Three places are patched, all as GRUB 2.06
// and 2.12 expect them: the boot info table at byte 8 of eltorito.img, the u64 at its
// byte 2548 (own start in 512-byte sectors, plus 5), and the u64 at byte 432 of the
// MBR (the same start, plus 4). See hybrid.go and eltorito.go.
package iso
