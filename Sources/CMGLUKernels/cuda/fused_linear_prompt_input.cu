// fused_linear_prompt_input: rows of x in the order of fused_linear_prompt.cu's tiles, in the weights' type,
// normalized on the way. A part of fused_linear_prompt.cu, which includes it: it takes COLUMNS,
// TILE_ROWS, GROUPS and fused_linear_unit.cu.

__device__ __forceinline__ int column_tiles(const FusedLinear &f) {
  return (f.batch + COLUMNS - 1) / COLUMNS;
}

__device__ __forceinline__ int tile_count(const FusedLinear &f) {
  return (f.rows + TILE_ROWS - 1) / TILE_ROWS * column_tiles(f);
}

__device__ __forceinline__ int segment_count(const FusedLinear &f) {
  return ((f.columns + 63) / 64 * f.pieces + f.segment - 1) / f.segment;
}

// Rows of 128 bytes of x: those that fill the last tile hold anything.
__device__ __forceinline__ long long line(const FusedLinear &f, long long cell, int row) {
  return cell * column_tiles(f) * COLUMNS + row;
}

// [tiles][GROUPS], behind the staged x: the segment that adds next.
__device__ __forceinline__ u32 *turns(const FusedLinear &f) {
  return (u32 *)(f.staged + line(f, (long long)((f.columns + 63) / 64) * f.pieces, 0) * 128);
}

// Stores eight elements, the words of a lane for a row of W: quads of threads have 32 columns of one row
// of x, whose words for each 8 bytes of a step of wgmma they exchange.
__device__ __forceinline__ void store_staged(
    const FusedLinear &f, int row, int chunk, float (&value)[8]) {
  const int cells = (f.columns + 63) / 64, q = chunk & 3;
  const u32 quad = 0xfu << (threadIdx.x & 28);
  for (int piece = 0; piece < f.pieces; piece++) {
    u32 word[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      word[i] = narrow(value[2 * i], value[2 * i + 1]);
      const float2 taken = widen(word[i]);
      value[2 * i] -= taken.x;
      value[2 * i + 1] -= taken.y;
    }
    // Word j of lane i becomes word i of lane j.
#pragma unroll
    for (int bit = 1; bit < 4; bit *= 2)
#pragma unroll
      for (int i = 0; i < 4; i++)
        if (!(i & bit)) {
          const u32 given = q & bit ? word[i] : word[i | bit];
          const u32 taken = __shfl_xor_sync(quad, given, bit);
          word[i] = q & bit ? taken : word[i];
          word[i | bit] = q & bit ? word[i | bit] : taken;
        }
    unsigned char *to = f.staged + line(f, (long long)piece * cells + chunk / 8, row) * 128;
    *(uint4 *)(to + ((chunk & 7) ^ (row & 7)) * 16) =
        make_uint4(word[0], word[1], word[2], word[3]);
  }
}

// A block for each row of x; the first clears the turns.
extern "C" __global__ void __launch_bounds__(WARPS * 32)
stage_prompt(const __grid_constant__ FusedLinear f) {
  __shared__ float scratch[WARPS];
  launch_dependents();
  wait_for_input();
  const int row = blockIdx.x, chunks = (f.columns + 63) / 64 * 8, step = WARPS * 32;
  if (f.isSplit && row == 0)
    for (int i = threadIdx.x; i < tile_count(f) * GROUPS; i += step) turns(f)[i] = 0;
  float value[AHEAD][8];
  const float scale = load_row(f, row, value, scratch);
#pragma unroll
  for (int a = 0; a < AHEAD; a++) {
    const int chunk = threadIdx.x + a * step;
    if (chunk >= chunks) break;
    if (f.norm) scale_chunk(f, chunk * 8, scale, value[a]);
    store_staged(f, row, chunk, value[a]);
  }
  for (int chunk = threadIdx.x + AHEAD * step; chunk < chunks; chunk += step) {
    load_chunk(f, row, chunk * 8, value[0]);
    if (f.norm) scale_chunk(f, chunk * 8, scale, value[0]);
    store_staged(f, row, chunk, value[0]);
  }
}
