package place

import "doppel.live/internal/live/modules"

// Live is the running live system, which loads the modules of its kernel
// itself.
func Live() System {
	return System{LoadModule: func(name string) error {
		l, err := modules.Open()
		if err != nil {
			return err
		}
		return l.Load(name)
	}}
}
