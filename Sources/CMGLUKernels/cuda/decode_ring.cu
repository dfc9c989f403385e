// decode_ring: shared memory that one thread of decode.cu fills with weights (decode_filling.cu) and
// eight warps empty, in stages of which each warp has a part. A part of decode.cu, which includes it:
// it takes its WARPS and LARGEST, u32, and fused_linear_copies.cu's barriers.

// A place in the ring. Stages follow one another without gaps, whatever they take, but for the end of
// the ring, which is left where a cell would not fit.
struct Ring {
  unsigned char *memory;
  u32 full, empty;  // barriers of each stage
  int bytes, offset;
  int stages, stage;
  u32 parity;

  // Of a stage of which each warp has `size` bytes.
  __device__ __forceinline__ const unsigned char *part(int warp, int size) const {
    return memory + offset + warp * size;
  }
  __device__ __forceinline__ void await() const {
    projection::barrier_wait(full + stage * 8, parity);
  }
  // A warp has read what it wanted of the stage.
  __device__ __forceinline__ void release(int lane) const {
    __syncwarp();
    if (lane == 0)
      asm volatile("mbarrier.arrive.shared.b64 _, [%0];" ::"r"(empty + stage * 8) : "memory");
  }
  // Goes on from such a stage.
  __device__ __forceinline__ void next(int size) {
    offset += WARPS * size;
    if (offset + WARPS * LARGEST > bytes) offset = 0;
    if (++stage == stages) stage = 0, parity ^= 1;
  }
  // Leaves to other warps a stage that has arrived: before, it could be one turn of the ring ahead.
  __device__ __forceinline__ void pass(int size, int lane) {
    await();
    release(lane);
    next(size);
  }
};
