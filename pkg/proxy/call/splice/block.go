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

// buffers are those of one stream.
type buffers struct {
	buf   []byte // input
	block *block // that buf lies in; nil while nothing is there
	room  int    // size of the next block

	out      []byte
	outBlock *block // that out lies in, or lay before it grew
}

// takeInput makes sure that there is a block for input.
func (b *buffers) takeInput() {
	if b.block == nil {
		b.block = takeBlock(max(b.room, firstBuffer))
		b.buf = b.block.b[:0]
	}
}

// grow doubles the block.
func (b *buffers) grow() {
	grown := takeBlock(2 * cap(b.buf))
	b.buf = append(grown.b[:0], b.buf...)
	b.block.give()
	b.block = grown
}

func (b *buffers) giveInput() {
	if b.block != nil {
		b.block.give()
		b.block, b.buf = nil, nil
	}
}

// clearOutput begins another output.
func (b *buffers) clearOutput() {
	if b.outBlock == nil {
		b.outBlock = takeOutput()
		b.out = b.outBlock.b
	}
	b.out = b.out[:0]
}

// Idle says that all output has been used and that the next input may take a
// while: buffers are given to others for the time.
func (b *buffers) Idle() {
	if b.outBlock != nil {
		b.outBlock.giveOutput(b.out)
		b.outBlock, b.out = nil, nil
	}
}

// Close gives up what of the stream has not been relayed.
func (b *buffers) Close() {
	b.giveInput()
	b.Idle()
}
