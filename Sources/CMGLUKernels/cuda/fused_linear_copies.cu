// fused_linear_copies: memory to shared memory in the background, the barriers that say when it is there,
// and the programmatic launch of what comes next. A part of fused_linear_unit.cu, which includes it: it
// takes u32 and u64. Bulk copies from Hopper on, which one lane starts; cp.async before, to which
// all lanes belong.

__device__ __forceinline__ u32 shared_address(const void *p) {
  return (u32)__cvta_generic_to_shared(p);
}

__device__ __forceinline__ void barrier_init(u32 barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(barrier) : "memory");
#else
  asm volatile("mbarrier.init.shared.b64 [%0], 32;" ::"r"(barrier) : "memory");
#endif
}

// Arrives at a barrier of Hopper, which so many bytes are to complete.
__device__ __forceinline__ void expect(u32 barrier, u32 bytes) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}

// Starts the copy of a stage by one warp; the barrier completes when all of it has arrived.
__device__ __forceinline__ void copy_stage(
    u32 target, const unsigned char *source, u32 bytes, u32 barrier, int lane, u64 policy) {
#if __CUDA_ARCH__ >= 900
  if (lane == 0) {
    expect(barrier, bytes);
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1], %2, [%3], %4;" ::"r"(target), "l"(source), "r"(bytes), "r"(barrier),
        "l"(policy)
        : "memory");
  }
#else
  for (u32 offset = lane * 16; offset < bytes; offset += 512)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target + offset),
                 "l"(source + offset)
                 : "memory");
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
}

// How the driver describes x, or cells of W, to the copy engine of Hopper (cuTensorMapEncodeTiled).
struct __align__(64) TensorMap {
  u64 words[16];
};

// Starts the copy of 64 columns of interleaved rows, as many as a box of the map has.
__device__ __forceinline__ void copy_rows(
    u32 target, const TensorMap &map, int column, int row, int piece, u32 barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
      " [%0], [%1, {%2, %3, %4}], [%5];" ::"r"(target),
      "l"(&map), "r"(column), "r"(row), "r"(piece), "r"(barrier)
      : "memory");
#endif
}

// Starts the copy of a cell of as many rows of cells as a box of the map has, as one: a thread takes some 60
// cycles to start any. The L2 lets go of what is read once; what other blocks read too has no hint: with
// evict_normal 2048 x 2048 over 512 rows takes 16.8 us in place of 12.2.
__device__ __forceinline__ void copy_cells(
    u32 target, const TensorMap &map, int cell, int row, u32 barrier, bool isReadOnce) {
#if __CUDA_ARCH__ >= 900
  if (isReadOnce) {
    u64 policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1, {%2, %2, %3, %4}], [%5], %6;" ::"r"(target),
        "l"(&map), "r"(0), "r"(cell), "r"(row), "r"(barrier), "l"(policy)
        : "memory");
  } else {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes"
        " [%0], [%1, {%2, %2, %3, %4}], [%5];" ::"r"(target),
        "l"(&map), "r"(0), "r"(cell), "r"(row), "r"(barrier)
        : "memory");
  }
#endif
}

__device__ __forceinline__ void prefetch_map(const TensorMap &map) {
#if __CUDA_ARCH__ >= 900
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
#endif
}

// Whether a phase is complete; may take a moment to say that it is not.
__device__ __forceinline__ bool is_complete(u32 barrier, u32 parity) {
  u32 done;
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
#else
  asm volatile(
      "{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
#endif
  return done;
}

__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
  while (!is_complete(barrier, parity)) {
  }
}

__device__ __forceinline__ void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

__device__ __forceinline__ void wait_for_input() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
