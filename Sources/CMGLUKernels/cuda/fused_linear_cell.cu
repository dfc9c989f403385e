// fused_linear_cell: the weights and mask bits that a warp multiplies at a time, and their products. A
// part of fused_linear_unit.cu, which includes it: it takes MASKS, PLANES, BF16 and TILES.
//
// Layout. A cell is 16 rows x 64 columns in the order in which a warp's registers want them:
//     [PLANES][block 2][half 2][lane 32] of 8 weights   row lane / 4 + 8 half,
//                                                       column 32 block + 8 (lane % 4)
//     [MASKS / V][lane 32][V] of 32-bit mask words      V is the largest of 4, 2, 1 that divides MASKS
// so W and its bits are one stream of exactly 16 + MASKS bits per element. Cells of a tile of 16
// rows follow one another; rows and columns are padded with zeros to 16 and 64 (pack.cu).
//
// Arithmetic. Tensor cores multiply 16 rows of W by up to 8 columns (mma.m16n8k16, float32 sums),
// so a batch costs what one row costs. A mask does not zero weights, it flips signs: with
// u_i = sum +-w x (plus where M_i is 1), s_i = (t + u_i) / 2 and t - s_i = (t - u_i) / 2. Applying a
// mask to two weights is one shift and one three-input logic operation, w ^ (bits & 0x80008000).

constexpr int STREAMS = PLANES == 2 ? 2 : MASKS + 1;
constexpr int PLANE_BYTES = 16 * 64 * 2;
constexpr int CELL_BYTES = PLANES * PLANE_BYTES + MASKS * 32 * 4;
constexpr int VECTOR = MASKS % 4 == 0 ? 4 : MASKS % 2 == 0 ? 2 : 1;

// Shifts as products, which the compiler must not see through: multiplications and logic operations
// run on units of their own, shifts and logic operations share one.
__constant__ u32 POWERS[16] = {1,      2,      4,      8,       16,      32,      64,      128,
                               1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};

__device__ __forceinline__ void multiply(
    float (&sum)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if BF16
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
      " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 component(const uint4 &v, int index) {
  return index == 0 ? v.x : index == 1 ? v.y : index == 2 ? v.z : v.w;
}

// A lane's words of COUNT masks of a cell, of which the first are at `from`.
template <int COUNT>
__device__ __forceinline__ void load_words(u32 *words, const unsigned char *from, int lane) {
#pragma unroll
  for (int group = 0; group < COUNT / VECTOR; group++) {
    const unsigned char *vector = from + (group * 32 + lane) * VECTOR * 4;
    if (VECTOR == 4) {
      const uint4 v = *(const uint4 *)vector;
#pragma unroll
      for (int i = 0; i < 4; i++) words[group * VECTOR + i] = component(v, i);
    } else if (VECTOR == 2) {
      const uint2 v = *(const uint2 *)vector;
      words[group * VECTOR] = v.x;
      words[group * VECTOR + VECTOR - 1] = v.y;
    } else {
      words[group] = *(const u32 *)vector;
    }
  }
}

// Adds a cell's products to the sums. x points at this lane's column of the first tile; a second
// plane lies `plane_stride` bytes behind the first.
__device__ __forceinline__ void add_cell(
    float (&sum)[STREAMS][TILES][4], const unsigned char *cell, int plane_stride,
    const unsigned char *x, const unsigned char *x1, int lane) {
  u32 words[MASKS > 0 ? MASKS : 1];
  load_words<MASKS>(words, cell + PLANES * PLANE_BYTES, lane);
#pragma unroll
  for (int block = 0; block < 2; block++) {
    uint4 input[TILES];
    input[0] = *(const uint4 *)(x + block * 64);
    if (TILES > 1) input[TILES - 1] = *(const uint4 *)(x1 + block * 64);
    uint4 top[PLANES], bottom[PLANES];
#pragma unroll
    for (int plane = 0; plane < PLANES; plane++) {
      const uint4 *w = (const uint4 *)(cell + plane * plane_stride) + block * 64 + lane;
      top[plane] = w[0];
      bottom[plane] = w[32];
    }
#pragma unroll
    for (int step = 0; step < 2; step++) {
#pragma unroll
      for (int plane = 0; plane < PLANES; plane++) {
        const u32 a[4] = {component(top[plane], 2 * step), component(bottom[plane], 2 * step),
                          component(top[plane], 2 * step + 1),
                          component(bottom[plane], 2 * step + 1)};
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
          multiply(sum[PLANES == 2 ? plane : MASKS][tile], a[0], a[1], a[2], a[3],
                   component(input[tile], 2 * step), component(input[tile], 2 * step + 1));
#pragma unroll
        for (int mask = 0; mask < MASKS; mask++) {
          u32 m[4];
#pragma unroll
          for (int r = 0; r < 4; r++)
            m[r] = a[r] ^ (words[mask] * POWERS[block * 8 + step * 4 + r] & 0x80008000u);
#pragma unroll
          for (int tile = 0; tile < TILES; tile++)
            multiply(sum[mask][tile], m[0], m[1], m[2], m[3],
                     component(input[tile], 2 * step), component(input[tile], 2 * step + 1));
        }
      }
    }
  }
}
