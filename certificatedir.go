package zmqauth

import (
	"io/fs"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// certificateDirectory keeps keys up to date with the certificates in a directory. Anybody may read
// the keys. All else belongs to the goroutine that loads the directory, and later to the one that
// follows it.
type certificateDirectory struct {
	a      *Authenticator
	path   string
	keys   Credentials // in force
	files  map[string]*certificateFile
	owners map[PublicKey][]string // the names of a key's files, in order: the first one counts
	links  map[string]files.Stamp // of the files behind symbolic links
	loader certificateLoader
	limit  directoryLimit
	size   int64        // of the files in force
	reads  atomic.Int64 // of files

	source *follow.Source
	full   bool           // there was no room for some certificates, as reported
	again  follow.Changes // what is to be looked at once more
}

// certificateFile is what is known of one file. It keeps its last good content until it is mended
// or removed.
type certificateFile struct {
	stamp   files.Stamp
	size    int64     // of its last good content
	key     PublicKey // zero: it has never been good
	known   *credential
	problem string // what has been reported of it; "": it is good
	missing int    // looks in a row at which it was not there: it may have been renamed
}

func newCertificateDirectory(a *Authenticator, path string) *certificateDirectory {
	return &certificateDirectory{
		a: a, path: path, source: a.newSource("directory", path),
		files: make(map[string]*certificateFile), owners: make(map[PublicKey][]string),
		links: make(map[string]files.Stamp), limit: certificateLimit,
	}
}

// load reads the whole directory. It is an error if the directory cannot be read, cannot be trusted
// or holds too much.
func (d *certificateDirectory) load() error {
	results, err := readCertificates(d.path, d.limit)
	if err != nil {
		return err
	}
	dirty := make(map[PublicKey]struct{}, len(results))
	for _, result := range results {
		d.reads.Add(1)
		d.take(result, dirty)
	}
	d.commit(dirty)
	return nil
}

// Refresh implements follow.DirectoryTarget.
func (d *certificateDirectory) Refresh(c follow.Changes) {
	if err := d.check(); err != nil {
		if d.source.Refuse(err) {
			d.a.counters.broken.Add(1)
		}
		d.again.All = true
		return
	}
	names := c.Names
	if c.All || c.Links {
		var err error
		names, err = d.suspects(c)
		if err != nil {
			d.source.Refuse(err)
			d.again.All = true
		} else if c.All {
			d.source.Accept()
		}
	}
	dirty := make(map[PublicKey]struct{}, len(names))
	for name := range names {
		if isCertificateName(name) {
			d.reads.Add(1)
			d.take(d.loader.loadNamed(d.path, name), dirty)
		}
	}
	d.commit(dirty)
}

// check tells why the directory can be trusted no longer; nil: it can. A directory that is gone, or
// that nobody can look at, counts as trusted here: the rest of Refresh finds out.
func (d *certificateDirectory) check() error {
	stamp, err := files.StampOf(d.path)
	if err == nil {
		err = stamp.Check(d.path)
		if err != nil {
			return fileError(d.path, err)
		}
	}
	return nil
}

// suspects are the names of the files that may have changed: those of c, and those whose file is
// not the one that was read. The error says that the directory cannot be listed.
func (d *certificateDirectory) suspects(c follow.Changes) (map[string]struct{}, error) {
	suspects := make(map[string]struct{}, len(c.Names))
	for name := range c.Names {
		suspects[name] = struct{}{}
	}
	consider := func(name string, known *certificateFile) {
		stamp, err := files.StampOf(files.Below(d.path, name))
		if known == nil || err != nil || stamp != known.stamp {
			suspects[name] = struct{}{}
		}
	}
	if !c.All {
		for name := range d.links {
			consider(name, d.files[name])
		}
		return suspects, nil
	}
	for name, file := range d.files {
		consider(name, file)
	}
	found := 0
	err := listCertificates(d.path, func(entry fs.DirEntry) bool {
		if name := entry.Name(); d.files[name] == nil {
			suspects[name] = struct{}{}
			found++
		}
		return found <= d.limit.files // with one more, some are left out anyway
	})
	if err != nil && !files.IsGone(err) {
		return suspects, fileError(d.path, err)
	}
	return suspects, nil
}

// take takes over the result of reading a file. dirty collects the keys that this concerns.
func (d *certificateDirectory) take(result loadResult, dirty map[PublicKey]struct{}) {
	name, file := result.name, d.files[result.name]
	if result.empty() { // there is no such file, or not any more
		d.lose(name, file, dirty)
		return
	}
	if file == nil {
		if len(d.files) >= d.limit.files {
			d.leaveOut(d.limit.tooMany())
			return
		}
		file = new(certificateFile)
		d.files[name] = file
	}
	file.missing = 0
	if files.IsTransient(result.err) {
		d.lookAgain(name)
		d.report(file, result.err, dirty)
		return
	}
	file.stamp = result.stamp
	d.relink(result)
	if result.err != nil {
		if files.IsGone(result.err) { // behind a link
			d.disown(name, file.key, dirty)
			file.key, file.known = PublicKey{}, nil
			d.resize(file, 0)
		}
		d.report(file, result.err, dirty)
		return
	}
	if d.size-file.size+result.size() > d.limit.bytes {
		file.stamp = files.Stamp{} // so that it is read again when there is room
		d.leaveOut(d.limit.tooLarge())
		return
	}
	d.resize(file, result.size())
	file.problem = ""
	if file.key != result.cert.Public {
		d.disown(name, file.key, dirty)
		d.own(name, result.cert.Public)
	}
	file.key, file.known = result.cert.Public, d.a.credentialOf(result.cert)
	dirty[file.key] = struct{}{}
}

// missingLooks is how many looks in a row have to miss a file before it counts as removed.
// Otherwise a file that is renamed would be out of force until its new name is read. A file that is
// renamed all the time may be missed at both of its names more than once.
const missingLooks = 3

// lose forgets a file that is not there.
func (d *certificateDirectory) lose(
	name string, file *certificateFile, dirty map[PublicKey]struct{},
) {
	if file == nil {
		return
	}
	if file.missing++; file.missing < missingLooks {
		d.lookAgain(name)
		return
	}
	d.disown(name, file.key, dirty)
	d.relink(loadResult{name: name})
	d.resize(file, 0)
	delete(d.files, name)
	d.makeRoom()
}

// resize notes how much of the limit a file in force takes.
func (d *certificateDirectory) resize(file *certificateFile, size int64) {
	if size < file.size {
		d.makeRoom()
	}
	d.size += size - file.size
	file.size = size
}

// leaveOut notes that there is no room for a certificate. What is in force stays. That is reported
// once, and again if there was room meanwhile, but not for all.
func (d *certificateDirectory) leaveOut(err error) {
	if d.full {
		return
	}
	d.full = true
	d.a.counters.broken.Add(1)
	d.a.say(func(log *slog.Logger) {
		log.Error("zmqauth: a directory is full, further certificates are left out until others are "+
			"removed", "error", fileError(d.path, err))
	})
}

// makeRoom has everything looked at again, if something was left out.
func (d *certificateDirectory) makeRoom() {
	if d.full {
		d.full, d.again.All = false, true
	}
}

func (d *certificateDirectory) lookAgain(name string) {
	d.again.Merge(follow.Changes{Names: map[string]struct{}{name: {}}})
}

// Unfinished implements follow.DirectoryTarget.
func (d *certificateDirectory) Unfinished() follow.Changes {
	again := d.again
	d.again = follow.Changes{}
	return again
}

func (d *certificateDirectory) own(name string, key PublicKey) {
	names := d.owners[key]
	at, _ := slices.BinarySearch(names, name)
	d.owners[key] = slices.Insert(names, at, name)
}

func (d *certificateDirectory) disown(name string, key PublicKey, dirty map[PublicKey]struct{}) {
	if key == (PublicKey{}) {
		return
	}
	names := d.owners[key]
	if at, found := slices.BinarySearch(names, name); found {
		names = slices.Delete(names, at, at+1)
	}
	if len(names) == 0 {
		delete(d.owners, key)
	} else {
		d.owners[key] = names
	}
	dirty[key] = struct{}{}
}

// report logs and counts what is wrong with a file, once. From then on its last good content has a
// time to live.
func (d *certificateDirectory) report(
	file *certificateFile, err error, dirty map[PublicKey]struct{},
) {
	if file.problem == err.Error() {
		return
	}
	limit := d.a.policy.Load().staleLimit
	if file.problem == "" && limit > 0 && file.key != (PublicKey{}) {
		file.known = file.known.until(time.Now().Add(limit))
		dirty[file.key] = struct{}{}
	}
	file.problem = err.Error()
	d.a.counters.broken.Add(1)
	message := "zmqauth: a certificate is left out"
	if file.key != (PublicKey{}) {
		message = "zmqauth: a certificate is broken; its last good content stays in force"
	}
	d.a.say(func(log *slog.Logger) { log.Warn(message, "error", err) })
}

// commit puts all that has changed in force at once.
func (d *certificateDirectory) commit(dirty map[PublicKey]struct{}) {
	if len(dirty) == 0 {
		return
	}
	_ = d.keys.change(func(next *credentialSet) error {
		for key := range dirty {
			if len(d.owners[key]) == 0 {
				next.keys = next.keys.Without(key)
			}
		}
		next.keys = next.keys.WithAll(len(dirty), func(yield func(PublicKey, *credential) bool) {
			for key := range dirty {
				names := d.owners[key]
				if len(names) > 0 && !yield(key, d.files[names[0]].known) {
					return
				}
			}
		})
		return nil
	})
}

// credentialOf is what is known of the owner of a certificate.
func (a *Authenticator) credentialOf(c *Certificate) *credential {
	if len(c.Metadata) == 0 {
		return nil
	}
	// The validity has been checked with the rest of the certificate.
	notBefore, notAfter, _ := certfile.Validity(c.Metadata)
	return &credential{
		identity:  Identity{Metadata: c.Metadata},
		metadata:  zap.EncodeMetadata(c.Metadata, a.metadataNames),
		complete:  true,
		notBefore: notBefore,
		notAfter:  notAfter,
	}
}

// relink notes whether a file is behind a symbolic link.
func (d *certificateDirectory) relink(result loadResult) {
	if result.link {
		d.links[result.name] = result.stamp
	} else {
		delete(d.links, result.name)
	}
}

// Links implements follow.DirectoryTarget.
func (d *certificateDirectory) Links() map[string]files.Stamp { return d.links }
