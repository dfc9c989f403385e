// decode_ring: shared memory that one warp of decode.cu fills with weights and the others empty,
// in stages of which each warp has a part. A part of decode.cu, which includes it: it takes its
// WARPS, WINDOW, PLANE and CELL, u32 and u64, and flash_copies.cu's barriers.

// A place in the ring. Stages follow one another without gaps, whatever they take, but for the end of
// the ring, which is left where a cell would not fit.
struct Ring {
  unsigned char *memory;  // [WARPS][bytes]
  u32 full, empty;        // barriers of each stage
  int bytes, offset;      // of a warp
  int stages, stage;
  u32 parity;

  __device__ __forceinline__ unsigned char *part(int warp) const {
    return memory + warp * bytes + offset;
  }
  // Goes on from a stage of which each warp has `size` bytes.
  __device__ __forceinline__ void next(int size) {
    offset += size;
    if (offset + CELL > bytes) offset = 0;
    if (++stage == stages) stage = 0, parity ^= 1;
  }
};

// Where the ring is filled, and the oldest stage that is not known to be released.
struct Filling {
  Ring ring, oldest;
  int count, live;  // stages begun, and from the oldest on
  u64 areCells;     // a bit for each of these, the newest the lowest

  // Whether `size` more bytes overwrite nothing.
  __device__ __forceinline__ bool has_room(int size) const {
    return live == 0 || (live < ring.stages && (oldest.offset < ring.offset ||
                                                ring.offset + size <= oldest.offset));
  }
};

// A warp has read what it wanted of a stage.
__device__ __forceinline__ void release(u32 empty, int lane) {
  __syncwarp();
  if (lane == 0) asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(empty) : "memory");
}

// Waits until a stage of `size` bytes for each warp may be filled, and says how many will come.
__device__ __forceinline__ void begin_stage(Filling &filling, int size, int bytes, int lane) {
  const Ring &ring = filling.ring;
  while (!filling.has_room(size)) {
    Ring &oldest = filling.oldest;
    projection::barrier_wait(oldest.empty + oldest.stage * 8, oldest.parity);
    oldest.next(filling.areCells >> --filling.live & 1 ? CELL : PLANE);
  }
  if (filling.count >= WINDOW) {
    const int back = ring.stage - WINDOW;
    projection::barrier_wait(
        ring.full + (back < 0 ? back + ring.stages : back) * 8,
        back < 0 ? ring.parity ^ 1 : ring.parity);
  }
  filling.count++, filling.live++;
  filling.areCells = filling.areCells << 1 | (size == CELL);
  if (lane == 0)
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(ring.full + ring.stage * 8),
                 "r"(bytes)
                 : "memory");
  __syncwarp();
}

__device__ __forceinline__ void copy(
    const Ring &ring, int warp, int offset, const void *from, int bytes, u64 policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
      " [%0], [%1], %2, [%3], %4;" ::"r"(
          projection::shared_address(ring.part(warp) + offset)),
      "l"(from), "r"(bytes), "r"(ring.full + ring.stage * 8), "l"(policy)
      : "memory");
}
