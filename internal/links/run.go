package links

import (
	"context"
	"os"
)

// Run runs one link until ctx ends. Each value of reload has it look at the files, and log whether
// they are good: which files a link has read is in force by itself.
func Run(ctx context.Context, spec Spec, o Options, reload <-chan os.Signal) error {
	specs := []Spec{spec}
	if err := Check(specs); err != nil {
		return err
	}
	set := NewSet(o)
	defer set.Stop()
	if err := set.Update(ctx, specs); err != nil {
		return err
	}
	o.Log.Info(MessageReady)
	for {
		select {
		case <-ctx.Done():
			o.Log.Info(MessageEnds)
			return nil
		case err := <-set.Failed():
			return err
		case <-reload:
			if err := Check(specs); err != nil {
				o.Log.Error(MessageWrong, "error", err)
				continue
			}
			_ = set.Update(ctx, specs) // nothing has changed
			o.Log.Info(MessageLooked)
		}
	}
}
