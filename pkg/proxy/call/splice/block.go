package splice

import (
	"math/bits"
	"sync"
)

// block is a buffer that a stream has only while something is in it: a stream
// that waits for its next event holds none.
type block struct{ b []byte }

const (
	firstBuffer = 4 << 10  // of a stream that says little at a time
	fullBuffer  = 32 << 10 // of a stream that fills its buffer
	keepBuffer  = 64 << 10 // largest buffer that is kept for others
)

// blocks are free ones by size: firstBuffer, twice that, up to keepBuffer.
var blocks [5]sync.Pool

// blockClass is the index of a size in blocks; ok is false for others.
func blockClass(size int) (class int, ok bool) {
	if size < firstBuffer || size > keepBuffer || size&(size-1) != 0 {
		return 0, false
	}
	return bits.TrailingZeros(uint(size / firstBuffer)), true
}

func takeBlock(size int) *block {
	if class, ok := blockClass(size); ok {
		if b, ok := blocks[class].Get().(*block); ok {
			return b
		}
	}
	return &block{make([]byte, 0, size)}
}

// give returns a block for others. It must not be used any more.
func (b *block) give() {
	if class, ok := blockClass(cap(b.b)); ok {
		blocks[class].Put(b)
	}
}

// outputs are buffers for what goes to clients. They grow with the events.
var outputs = sync.Pool{New: func() any { return &block{make([]byte, 0, 1<<10)} }}

func takeOutput() *block { return outputs.Get().(*block) }

// giveOutput returns a block, with what its bytes have grown to.
func (b *block) giveOutput(grown []byte) {
	if grown = keep(grown); grown != nil {
		b.b = grown
		outputs.Put(b)
	}
}
