package zmqauth

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zmqauth/zmqauth/internal/certfile"
	"github.com/zmqauth/zmqauth/internal/files"
	"github.com/zmqauth/zmqauth/internal/follow"
	"github.com/zmqauth/zmqauth/internal/keyfiles"
	"github.com/zmqauth/zmqauth/internal/pause"
	"github.com/zmqauth/zmqauth/internal/table"
	"github.com/zmqauth/zmqauth/internal/zap"
)

// certificateDirectory keeps keys up to date with the certificates in a directory. Anybody may read
// the keys. All else belongs to the goroutine that loads the directory, and later to the one that
// follows it.
type certificateDirectory struct {
	a        *Authenticator
	path     string
	keys     Credentials // in force
	files    keyfiles.Files[*credential]
	links    map[string]files.Stamp // of the files behind symbolic links
	problems map[string]string      // what has been reported of files
	missing  map[string]int         // looks in a row at which files were not there
	dirty    map[PublicKey]struct{} // keys that have changed; nil: all
	loader   certfile.Loader
	limit    certfile.Limit
	size     int64        // of the files in force
	reads    atomic.Int64 // of files

	source *follow.Source
	full   bool           // there was no room for some certificates, as reported
	again  follow.Changes // what is to be looked at once more
}

// certificateFile is what is known of one file. It keeps its last good content until it is mended
// or removed. Its key is zero if it has never been good.
type certificateFile = keyfiles.File[*credential]

func newCertificateDirectory(a *Authenticator, path string) *certificateDirectory {
	return &certificateDirectory{
		a: a, path: path, source: a.newSource("directory", path), limit: certfile.Bounds,
		links: make(map[string]files.Stamp), problems: make(map[string]string),
		missing: make(map[string]int),
	}
}

// load reads the whole directory. It is an error if the directory cannot be read, cannot be trusted
// or holds too much.
func (d *certificateDirectory) load() error {
	var broken []certfile.Result // what is wrong with files counts only if all is read
	var pauses pause.Pauses
	for result, err := range certfile.ReadAll(d.path, d.limit, d.files.Grow) {
		switch {
		case err != nil:
			return fileError(d.path, err)
		case result.Err != nil:
			broken = append(broken, *result)
		default:
			d.take(result)
		}
		d.reads.Add(1)
	}
	for i := range broken {
		d.take(&broken[i])
	}
	first := make([]*certificateFile, 0, d.files.Len())
	for file := range d.files.All() {
		pauses.Step()
		if file.IsFirst() {
			first = append(first, file)
		}
	}
	d.keys.now.Store(&credentialSet{
		keys: table.Of(len(first), func(i int) (PublicKey, *credential) {
			return first[i].Key(), first[i].Known
		}),
	})
	d.dirty = make(map[PublicKey]struct{})
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
	dir := files.DirAt(d.path)
	for name := range names {
		if certfile.IsName(name) {
			d.reads.Add(1)
			result := d.loader.LoadNamed(dir, strings.Clone(name)) // not an event's whole path with it
			d.take(&result)
		}
	}
	d.commit()
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
		if known == nil || err != nil || stamp.Mark() != known.Mark {
			suspects[name] = struct{}{}
		}
	}
	if !c.All {
		for name := range d.links {
			consider(name, d.files.Get(name))
		}
		return suspects, nil
	}
	for file := range d.files.All() {
		consider(file.Name(), file)
	}
	if err := d.addNew(suspects); err != nil && !files.IsGone(err) {
		return suspects, fileError(d.path, err)
	}
	return suspects, nil
}

// addNew adds the names of files that are not known. The error says that the directory cannot be
// listed.
func (d *certificateDirectory) addNew(suspects map[string]struct{}) error {
	dir, err := files.OpenDir(d.path)
	if err != nil {
		return err
	}
	defer dir.Close()
	found := 0
	return certfile.List(dir, func(entry files.Entry) bool {
		if d.files.Get(entry.Name) == nil {
			suspects[entry.Name] = struct{}{}
			found++
		}
		return found <= d.limit.Files // with one more, some are left out anyway
	})
}

// take takes over the result of reading a file.
func (d *certificateDirectory) take(result *certfile.Result) {
	name, file := result.Name, d.files.Get(result.Name)
	if result.IsEmpty() { // there is no such file, or not any more
		d.lose(file)
		return
	}
	if file == nil {
		if d.files.Len() >= d.limit.Files {
			d.leaveOut(d.limit.TooMany())
			return
		}
		file = d.files.Add(name)
	}
	delete(d.missing, name)
	if files.IsTransient(result.Err) {
		d.lookAgain(name)
		d.report(file, result.Err)
		return
	}
	file.Mark = result.Stamp.Mark()
	d.relink(result)
	if result.Err != nil {
		if files.IsGone(result.Err) { // behind a link
			d.setKey(file, PublicKey{}, nil)
			d.resize(file, 0)
		}
		d.report(file, result.Err)
		return
	}
	if d.size-int64(file.Size)+result.Size() > d.limit.Bytes {
		file.Mark = files.Mark{} // so that it is read again when there is room
		d.leaveOut(d.limit.TooLarge())
		return
	}
	d.resize(file, result.Size())
	delete(d.problems, name)
	d.setKey(file, result.Public, d.a.credentialOf(result.Metadata))
}

// missingLooks is how many looks in a row have to miss a file before it counts as removed.
// Otherwise a file that is renamed would be out of force until its new name is read. A file that is
// renamed all the time may be missed at both of its names more than once.
const missingLooks = 3

// lose forgets a file that is not there. nil is one that was not known.
func (d *certificateDirectory) lose(file *certificateFile) {
	if file == nil {
		return
	}
	name := file.Name()
	if d.missing[name]++; d.missing[name] < missingLooks {
		d.lookAgain(name)
		return
	}
	d.setKey(file, PublicKey{}, nil)
	d.resize(file, 0)
	d.files.Remove(file)
	delete(d.problems, name)
	delete(d.missing, name)
	delete(d.links, name)
	d.makeRoom()
}

// setKey notes which key a file has, and what is known of it.
func (d *certificateDirectory) setKey(file *certificateFile, key PublicKey, known *credential) {
	d.touch(file)
	d.files.SetKey(file, key)
	file.Known = known
	d.touch(file)
}

// touch has the key of a file, if any, put in force with the next commit.
func (d *certificateDirectory) touch(file *certificateFile) {
	if key := PublicKey(file.Key()); d.dirty != nil && key != (PublicKey{}) {
		d.dirty[key] = struct{}{}
	}
}

// resize notes how much of the limit a file in force takes.
func (d *certificateDirectory) resize(file *certificateFile, size int64) {
	if size < int64(file.Size) {
		d.makeRoom()
	}
	d.size += size - int64(file.Size)
	file.Size = int32(size)
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

// report logs and counts what is wrong with a file, once. From then on its last good content has a
// time to live.
func (d *certificateDirectory) report(file *certificateFile, fault error) {
	name, hasKey := file.Name(), file.Key() != PublicKey{}
	err := zplError(files.Below(d.path, name), fault)
	said := d.problems[name]
	if said == err.Error() {
		return
	}
	limit := d.a.policy.Load().staleLimit
	if said == "" && limit > 0 && hasKey {
		file.Known = file.Known.until(time.Now().Add(limit))
		d.touch(file)
	}
	d.problems[name] = err.Error()
	d.a.counters.broken.Add(1)
	message := "zmqauth: a certificate is left out"
	if hasKey {
		message = "zmqauth: a certificate is broken; its last good content stays in force"
	}
	d.a.say(func(log *slog.Logger) { log.Warn(message, "error", err) })
}

// commit puts all that has changed in force at once.
func (d *certificateDirectory) commit() {
	if len(d.dirty) == 0 {
		return
	}
	d.source.Took()
	_ = d.keys.change(func(next *credentialSet) error {
		for key := range d.dirty {
			if d.files.First(key) == nil {
				next.keys = next.keys.Without(key)
			}
		}
		next.keys = next.keys.WithAll(len(d.dirty), func(yield func(PublicKey, *credential) bool) {
			for key := range d.dirty {
				first := d.files.First(key)
				if first != nil && !yield(key, first.Known) {
					return
				}
			}
		})
		return nil
	})
	d.dirty = make(map[PublicKey]struct{})
}

// credentialOf is what is known of the owner of a certificate with that metadata.
func (a *Authenticator) credentialOf(metadata map[string]string) *credential {
	if len(metadata) == 0 {
		return nil
	}
	// The validity has been checked with the rest of the certificate.
	notBefore, notAfter, _ := certfile.Validity(metadata)
	return &credential{
		metadata:  zap.EncodeMetadata(metadata, a.metadataNames),
		complete:  true,
		notBefore: notBefore,
		notAfter:  notAfter,
	}
}

// relink notes whether a file is behind a symbolic link.
func (d *certificateDirectory) relink(result *certfile.Result) {
	if result.IsLink {
		d.links[result.Name] = result.Stamp
	} else {
		delete(d.links, result.Name)
	}
}

// Links implements follow.DirectoryTarget.
func (d *certificateDirectory) Links() map[string]files.Stamp { return d.links }
