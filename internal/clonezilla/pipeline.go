package clonezilla

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// job is one frame on its way through a pipeline.
type job struct {
	frame
	plainData []byte // the frame's content
	packData  []byte // the frame as stored
	sum       bool   // the content ends with the checksum of its blocks
	done      chan struct{}
	err       error
}

// pipeline works on jobs in several goroutines and hands them on in the order
// in which they came. It holds a fixed number of jobs and so a bounded memory.
type pipeline struct {
	free  chan *job
	work  chan *job
	order chan *job
	group sync.WaitGroup
	err   atomic.Pointer[error] // the first
}

// maxWorkers bounds the memory of a pipeline on machines with many processors:
// an encoder takes about 8 MiB and a job 3.
const maxWorkers = 14

// startPipeline starts workers goroutines (0: one for each processor), each
// with a worker of its own, and one that calls sink with every job whose work
// went well. finish ends them all.
func startPipeline(workers int, worker func() (func(*job) error, error), sink func(*job) error) (*pipeline, error) {
	if workers <= 0 {
		workers = min(runtime.GOMAXPROCS(0), maxWorkers)
	}
	n := workers + workers/2 + 3
	p := &pipeline{free: make(chan *job, n), work: make(chan *job, n), order: make(chan *job, n)}
	for range n {
		p.free <- &job{done: make(chan struct{}, 1)}
	}
	for range workers {
		work, err := worker()
		if err != nil {
			p.finish()
			return nil, err
		}
		p.group.Go(func() {
			for j := range p.work {
				if p.failed() == nil {
					j.err = work(j)
				}
				j.done <- struct{}{}
			}
		})
	}
	p.group.Go(func() { p.drain(sink) })
	return p, nil
}

func (p *pipeline) drain(sink func(*job) error) {
	for j := range p.order {
		<-j.done
		if p.failed() == nil {
			if j.err == nil {
				j.err = sink(j)
			}
			if j.err != nil {
				p.fail(j.err)
			}
		}
		j.err = nil
		p.free <- j
	}
}

func (p *pipeline) fail(err error) { p.err.CompareAndSwap(nil, &err) }

func (p *pipeline) failed() error {
	if err := p.err.Load(); err != nil {
		return *err
	}
	return nil
}

// next gives an empty job, waiting for one; the error of the first that went wrong.
func (p *pipeline) next() (*job, error) {
	j := <-p.free
	if err := p.failed(); err != nil {
		p.free <- j
		return nil, err
	}
	j.frame, j.sum, j.plainData = frame{}, false, j.plainData[:0]
	return j, nil
}

// submit gives a job of next back to be worked on.
func (p *pipeline) submit(j *job) {
	p.order <- j
	p.work <- j
}

// finish waits for all jobs and ends the goroutines.
func (p *pipeline) finish() error {
	close(p.work)
	close(p.order)
	p.group.Wait()
	return p.failed()
}
