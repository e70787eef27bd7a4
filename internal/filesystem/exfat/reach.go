package exfat

// maxSearched are the clusters up to which a volume that was not unmounted is
// searched: 16 TiB where they have 128 KiB. It takes three bits for each.
const maxSearched = 1 << 27

// clusterSet has a bit for each cluster, as the allocation bitmap has them.
type clusterSet []byte

func (s clusterSet) add(c int64)      { s[(c-2)/8] |= 1 << uint((c-2)%8) }
func (s clusterSet) has(c int64) bool { return s[(c-2)/8]>>uint((c-2)%8)&1 != 0 }

// reach finds all clusters that a reader of directories comes to: those of
// files whose clusters the bitmap does not have yet, or no longer.
type reach struct {
	f        *fileSystem
	reached  clusterSet
	followed clusterSet // in chains of files
	searched clusterSet // as parts of directories
	straight int64      // clusters that entries name without a chain
	queue    []named    // directories to be searched
}

// named are clusters that an entry names: a chain, or count behind each other.
type named struct {
	first, count int64
	straight     bool
}

// search marks what directories lead to. A volume that was not unmounted is
// read as any reader may see it: bitmap, FAT and directories are written in no
// order. What is doubtful counts: entries whose set is not whole, chains beyond
// the size of their file, entries behind the end of a directory.
func (f *fileSystem) search() error {
	n := f.boot.clusters()
	if n > maxSearched {
		return formatError(92, "it was not unmounted, and %d clusters are too many to search", n)
	}
	bits := func() clusterSet { return make(clusterSet, (n+7)/8) }
	r := &reach{f: f, reached: bits(), followed: bits(), searched: bits()}
	r.queue = append(r.queue, named{first: f.boot.root()})
	for len(r.queue) > 0 {
		last := len(r.queue) - 1
		d := r.queue[last]
		r.queue = r.queue[:last]
		if err := r.directory(d); err != nil {
			return err
		}
	}
	f.reached = r.reached
	return nil
}

// directory searches the clusters of a directory, each once.
func (r *reach) directory(d named) error {
	isDirectory := false // of the set that an entry belongs to
	cluster := d.first
	for i := int64(0); r.f.boot.valid(cluster) && !(d.straight && i == d.count); i++ {
		if r.searched.has(cluster) {
			if !d.straight {
				return nil
			}
			cluster++
			continue
		}
		r.searched.add(cluster)
		r.reached.add(cluster)
		if err := r.entries(cluster, &isDirectory); err != nil {
			return err
		}
		if d.straight {
			cluster++
			continue
		}
		next, err := r.f.next(cluster)
		if err != nil {
			return err
		}
		cluster = next
	}
	return nil
}

// entries marks what the entries in a cluster name.
func (r *reach) entries(cluster int64, isDirectory *bool) error {
	piece := make([]byte, min(r.f.boot.clusterSize(), rootPiece))
	at := r.f.boot.offset(cluster)
	for end := at + r.f.boot.clusterSize(); at < end; at += int64(len(piece)) {
		if err := readFull(r.f.r, piece, at); err != nil {
			return err
		}
		for p := piece; len(p) > 0; p = p[entrySize:] {
			e := dirEntry(p[:entrySize])
			switch {
			case e.kind() == kindFile:
				*isDirectory = entrySet(e).attributes()&attrDirectory != 0
			case e.kind() == kindStream, e.secondary() && e.kind() != kindName && e.hasData():
				if err := r.stream(e, *isDirectory && e.kind() == kindStream); err != nil {
					return err
				}
			case !e.secondary():
				*isDirectory = false
			}
		}
	}
	return nil
}

// stream marks the clusters of a stream; those of a directory are searched, too.
func (r *reach) stream(e dirEntry, isDirectory bool) error {
	boot := r.f.boot
	d := named{first: e.first(), straight: e.straight()}
	if !boot.valid(d.first) {
		return nil
	}
	if isDirectory && !r.searched.has(d.first) {
		most := uint64(boot.clusters()) << boot.clusterShift()
		d.count = r.f.chains().Count(int64(min(e.length(), most)))
		r.queue = append(r.queue, d)
	}
	if d.straight {
		return r.row(d.first, e.length())
	}
	for c := d.first; boot.valid(c) && !r.followed.has(c); {
		r.followed.add(c)
		r.reached.add(c)
		next, err := r.f.next(c)
		if err != nil {
			return err
		}
		c = next
	}
	return nil
}

// row marks clusters behind each other. Each belongs to one file: a volume that
// names them several times over would take for ever.
func (r *reach) row(first int64, length uint64) error {
	boot := r.f.boot
	left := boot.clusters() + 2 - first
	n := left
	if length < uint64(left)<<boot.clusterShift() {
		n = max(r.f.chains().Count(int64(length)), 1)
	}
	if r.straight += n; r.straight > 4*boot.clusters()+64 {
		return formatError(boot.offset(boot.root()), "files name more clusters than there are, many twice")
	}
	for c := first; c < first+n; c++ {
		r.reached.add(c)
	}
	return nil
}
