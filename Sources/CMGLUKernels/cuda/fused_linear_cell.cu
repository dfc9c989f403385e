// fused_linear_cell: the weights and mask bits that a warp multiplies at a time, and their products. A
// part of fused_linear_unit.cu, which includes it: it takes MASKS, PLANES, ROWS, BF16, INT8 and TILES.
//
// Layout. A cell is 16 rows x 64 columns in the order in which a warp's registers want them:
//     [PLANES][block 2][half 2][lane 32] of 8 weights   row lane / 4 + 8 half,
//                                                       column 32 block + 8 (lane % 4)
//     [MASKS / V][lane 32][V] of 32-bit mask words      V is the largest of 4, 2, 1 that divides MASKS
// so W and its bits are one stream of exactly 16 + MASKS bits per element. A plane of INT8 is
//     [block 2][lane 32][half 2] of 8 weights + 128     the same rows and columns
//     [lane / 4 8][block 2][half 2] of FP16 scales      of a row's 32 columns
// which are 8.5 bits per element. Cells of a tile of 16 rows follow one another; rows and columns are
// padded with zeros to 16 and 64 (pack.cu).
//
// Arithmetic. Tensor cores multiply 16 rows of W by up to 8 columns (mma.m16n8k16, float32 sums),
// so a batch costs what one row costs. A mask does not zero weights, it flips signs: with
// u_i = sum +-w x (plus where M_i is 1), s_i = (t + u_i) / 2 and t - s_i = (t - u_i) / 2. Applying a
// mask to two weights is one shift and one three-input logic operation, w ^ (bits & 0x80008000).
// Integers become FP16 exactly, and a group's scale multiplies its sum in float32: weights are not
// rounded a second time, and a scale costs a row four operations for each group and stream, where
// scaled weights would cost eight for each group.

constexpr int PARTS = PLANES * ROWS;  // whose sums a warp has: 2 without masks
constexpr int STREAMS = PLANES == 2 ? 2 : MASKS + 1;
constexpr int INTEGER_BYTES = 16 * 64;
constexpr int PLANE_BYTES = INT8 ? INTEGER_BYTES + 16 * 2 * 2 : 16 * 64 * 2;
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

#if INT8
// Two integers, biased by 128 in a register's bytes, as FP16: exact.
__device__ __forceinline__ u32 halves(u32 bytes, u32 selector) {
  u32 pair;
  asm("prmt.b32 %0, %1, 0x64646464, %2;" : "=r"(pair) : "r"(bytes), "r"(selector));  // 1024 + byte
  asm("sub.rn.f16x2 %0, %0, %1;" : "+r"(pair) : "r"(0x64806480u));                   // 1152
  return pair;
}
#endif

// Tiles whose inputs a lane holds at a time.
constexpr int TOGETHER = TILES > 4 && TILES % 2 == 0 ? TILES / 2 : TILES;

// What a lane multiplies of a block of 32 columns: its weights of PARTS planes or rows of cells, and eight
// inputs of a column of some tiles.
struct BlockWeights {
  uint4 of[PARTS][INT8 ? 1 : 2];
  u32 scales[PARTS];

  // Those of a cell, or of cells or planes that are `stride` bytes apart.
  __device__ __forceinline__ void load(const unsigned char *cell, int stride, int block, int lane) {
#pragma unroll
    for (int part = 0; part < PARTS; part++) {
      const unsigned char *plane = cell + part * stride;
#if INT8
      of[part][0] = ((const uint4 *)plane)[block * 32 + lane];
      scales[part] = *(const u32 *)(plane + INTEGER_BYTES + (lane >> 2) * 8 + block * 4);
#else
#pragma unroll
      for (int half = 0; half < 2; half++)
        of[part][half] = ((const uint4 *)plane)[block * 64 + half * 32 + lane];
#endif
    }
  }
};

struct BlockInputs {
  uint4 of[TOGETHER];

  // `input(tile, block)` are those of one tile.
  template <class Input> __device__ __forceinline__ void load(Input input, int block, int first) {
#pragma unroll
    for (int tile = 0; tile < TOGETHER; tile++) of[tile] = input(first + tile, block);
  }
};

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

// The mask words of a lane in a cell.
struct MaskWords {
  u32 of[MASKS > 0 ? MASKS : 1];

  __device__ __forceinline__ MaskWords(const unsigned char *cell, int lane) {
    load_words<MASKS>(of, cell + PLANES * PLANE_BYTES, lane);
  }
  // A register's two weights, the `position`th of the lane's 16 registers, under a mask.
  __device__ __forceinline__ u32 masked(u32 weights, int mask, int position) const {
    return weights ^ (of[mask] * POWERS[position] & 0x80008000u);
  }
};

typedef float CellSums[PARTS == 2 ? 2 : STREAMS][TILES][4];

// Adds the products of a cell's block, and of TOGETHER tiles from the `first` on, to the sums.
__device__ __forceinline__ void add_block(
    CellSums &sum, const BlockWeights &weights, const BlockInputs &x, const MaskWords &words, int block, int first) {
#pragma unroll
  for (int part = 0; part < PARTS; part++) {
#if INT8
    // Products of a group of 32 columns have their own sums, which its scales multiply.
    u32 w[2][4];
#pragma unroll
    for (int i = 0; i < 8; i++)
      w[i >> 2][i & 3] = halves(
          component(weights.of[part][0], (i >> 2) + 2 * (i & 1)), i & 2 ? 0x4342u : 0x4140u);
    const float2 scale = widen(weights.scales[part]);
#pragma unroll
    for (int stream = 0; stream <= MASKS; stream++) {
      float group[TOGETHER][4] = {};
#pragma unroll
      for (int step = 0; step < 2; step++) {
        u32 a[4];
#pragma unroll
        for (int r = 0; r < 4; r++)
          a[r] = stream < MASKS
                     ? words.masked(w[step][r], stream < MASKS ? stream : 0, block * 8 + step * 4 + r)
                     : w[step][r];
#pragma unroll
        for (int tile = 0; tile < TOGETHER; tile++)
          multiply(group[tile], a[0], a[1], a[2], a[3], component(x.of[tile], 2 * step),
                   component(x.of[tile], 2 * step + 1));
      }
#pragma unroll
      for (int tile = 0; tile < TOGETHER; tile++)
#pragma unroll
        for (int r = 0; r < 4; r++) {
          float &s = sum[PARTS == 2 ? part : stream][first + tile][r];
          s = __fmaf_rn(group[tile][r], r < 2 ? scale.x : scale.y, s);
        }
    }
#else
#pragma unroll
    for (int step = 0; step < 2; step++) {
      u32 a[4];
#pragma unroll
      for (int r = 0; r < 4; r++) a[r] = component(weights.of[part][r & 1], 2 * step + (r >> 1));
#pragma unroll
      for (int tile = 0; tile < TOGETHER; tile++)
        multiply(sum[PARTS == 2 ? part : MASKS][first + tile], a[0], a[1], a[2], a[3],
                 component(x.of[tile], 2 * step), component(x.of[tile], 2 * step + 1));
      if constexpr (MASKS > 0) {
#pragma unroll
        for (int mask = 0; mask < MASKS; mask++) {
          u32 m[4];
#pragma unroll
          for (int r = 0; r < 4; r++) m[r] = words.masked(a[r], mask, block * 8 + step * 4 + r);
#pragma unroll
          for (int tile = 0; tile < TOGETHER; tile++)
            multiply(sum[mask][first + tile], m[0], m[1], m[2], m[3],
                     component(x.of[tile], 2 * step), component(x.of[tile], 2 * step + 1));
        }
      }
    }
#endif
  }
}

// Adds a cell's products to the sums.
template <class Input>
__device__ __forceinline__ void add_cell(
    CellSums &sum, const unsigned char *cell, int stride, Input input, int lane) {
  const MaskWords words(cell, lane);
#pragma unroll
  for (int block = 0; block < 2; block++) {
    BlockWeights weights;
    weights.load(cell, stride, block, lane);
#pragma unroll
    for (int first = 0; first < TILES; first += TOGETHER) {
      BlockInputs x;
      x.load(input, block, first);
      add_block(sum, weights, x, words, block, first);
    }
  }
}
