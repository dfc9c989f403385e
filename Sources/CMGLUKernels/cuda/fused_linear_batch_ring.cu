// fused_linear_batch_ring: what fused_linear_batch.cu and fused_linear_batch_wide.cu, which include it, share: the
// items of a block, and the ring of stages that threads of their own fill for those who multiply.
//
// It takes SPLIT, blocks of a cluster that have some slices of an item each; CELL_ROWS, rows of cells of an
// item; GROUP, its rows of x; STAGE_BYTES, of a stage of the ring.

constexpr int SLICES = WARPS;
constexpr int FILLERS = 4;  // warps beside those that multiply: the first fills in weights, the next x

// Bytes of weights of a block that are on their way before the input is there.
#ifndef EARLY_BYTES
#define EARLY_BYTES 131072
#endif
constexpr int EARLY = EARLY_BYTES / (CELL_ROWS * CELL_BYTES);

// Anew where it is wanted: a register that lives across the change of their number goes to memory.
__device__ __forceinline__ int cluster_rank() {
  int rank = 0;
  if (SPLIT > 1) asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}

// Where another block of the cluster has what this one has at an address.
__device__ __forceinline__ u32 remote(u32 address, int rank) {
  u32 there;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
  return there;
}

// Barriers of each stage, and one more, behind which there is room for what the kernel exchanges.
struct Barriers {
  u32 full, empty, received;

  __device__ __forceinline__ Barriers(const FusedLinear &f, const unsigned char *memory) {
    full = shared_address(memory) + f.stages * STAGE_BYTES;
    empty = full + f.stages * 8, received = empty + f.stages * 8;
  }
  __device__ __forceinline__ void init(int stages) const {
    const auto one = [](u32 barrier, int count) {
      asm volatile("mbarrier.init.shared.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
    };
    if (threadIdx.x < stages) {
      one(full + threadIdx.x * 8, 1), one(empty + threadIdx.x * 8, WARPS);
      if (threadIdx.x == 0) one(received, WARPS * SPLIT);
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
  }
};

// Groups of rows of x.
__device__ __forceinline__ int group_count(const FusedLinear &f) {
  return (f.batch + GROUP - 1) / GROUP;
}

__device__ __forceinline__ int item_count(const FusedLinear &f) {
  return ((f.rows + 15) / 16 + CELL_ROWS - 1) / CELL_ROWS * group_count(f);
}

// What a block does: `body(rows, group, piece, cell)` for every cell that it multiplies, in order.
template <class Body>
__device__ __forceinline__ void for_cells(const FusedLinear &f, int rank, Body body) {
  const int cells = (f.columns + 63) / 64, groups = group_count(f), items = item_count(f);
  const int first = SPLIT > 1 ? rank * (SLICES / SPLIT) : 0;
  for (int item = blockIdx.x / SPLIT; item < items; item += gridDim.x / SPLIT)
    for (int piece = 0; piece < f.pieces; piece++)
      for (int slice = first; slice < first + SLICES / SPLIT; slice++)
        for (int cell = slice; cell < cells; cell += SLICES) body(item / groups, item % groups, piece, cell);
}

// A place in the ring of stages, for those who fill it: `turn` is the parity of the phase that ends when
// a stage has been emptied, which those that were never filled count as.
struct Place {
  int stage = 0;
  u32 turn = 1;

  __device__ __forceinline__ void next(int stages) {
    if (++stage == stages) stage = 0, turn ^= 1;
  }
};

// The thread that fills in weights: a cell of every row of cells of an item, to `memory` and from there on
// `distance` bytes apart. The thread that fills in x says how many bytes a stage is.
__device__ __forceinline__ void fill_weights(
    const FusedLinear &f, const TensorMap &map, u32 memory, int distance, const Barriers &barriers) {
  prefetch_map(map);
  const bool isReadOnce = f.batch <= GROUP;
  Place place;
  int early = EARLY;
  for_cells(f, cluster_rank(), [&](int rows, int, int, int cell) {
    if (early-- == 0) wait_for_input();
    barrier_wait(barriers.empty + place.stage * 8, place.turn);
    copy_cells(
        memory + place.stage * distance, map, cell, rows * CELL_ROWS, barriers.full + place.stage * 8,
        isReadOnce);
    place.next(f.stages);
  });
}
