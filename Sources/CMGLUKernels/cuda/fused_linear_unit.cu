// fused_linear_unit: what fused_linear.cu and decode.cu share: a unit or projection of 16-bit weights, whose
// input is staged (fused_linear_input.cu), whose cells are copied (fused_linear_copies.cu) and multiplied
// (fused_linear_cell.cu), and whose sums are combined. They include it in a namespace for each variant:
// MASKS, PLANES, BF16 and TILES as fused_linear.cu has them. Before it they include cmglu_numbers.h.

#ifndef MASKS
#define MASKS 1
#endif
#ifndef PLANES
#define PLANES 1
#endif
#ifndef BF16
#define BF16 0
#endif
#ifndef INT8
#define INT8 0
#endif
#ifndef TILES
#define TILES 1
#endif
#ifndef ROWS  // of cells that a warp multiplies at a time: 2 of one plane without masks
#define ROWS 1
#endif
#ifndef ACTIVATE
#define ACTIVATE activate<false>
#endif

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

constexpr int WARPS = 8;
// Threads that share an output: a power of two of at least MASKS.
constexpr int TERMS = MASKS > 8 ? 16 : MASKS > 4 ? 8 : MASKS > 2 ? 4 : MASKS > 1 ? 2 : 1;

// Mirrored by cmglu_cuda_fused_linear in cmglu_cuda.h.
struct FusedLinear {
  const unsigned char *cells;  // [tiles][ceil(columns / 64)][CELL_BYTES]
  const void *x;               // [batch][columns] of inputType
  void *output;                // [batch][outputStride] of outputType
  const float *routes;         // [batch][MASKS], or null: every p_i is 1
  const float *norm;           // [columns] weight of an RMSNorm of x, or null
  unsigned char *staged;       // [batch * pieces][input_stride], or null
  unsigned int *turns;         // of fused_linear_prompt.cu: zeros before and after, or null
  long long outputStride;
  int rows, columns, batch;
  int pieces;                  // columns of each row of x: batch * pieces <= 8 TILES
  int inputType, outputType;
  int activation, gating;
  int accumulate;              // output += a
  int stages;                  // of a warp's ring, a cell each
  int places;                  // 1 or 2, which sums of a tile take turns in
  float epsilon;
  int isChained;               // whether kernels before and after depend on each other
  int segment;                 // of fused_linear_prompt.cu: cells between additions to the output, or 0
};

#include "activations.cu"
#include "fused_linear_numbers.cu"
#include "fused_linear_copies.cu"
#include "fused_linear_cell.cu"

// One mask's term of the sum, or the whole of a unit without masks.
__device__ __forceinline__ float combine(float s, float t, const FusedLinear &f) {
  if (PLANES == 2) return ACTIVATE(s, f.activation) * t;
  if (MASKS == 0) return ACTIVATE(t, f.activation) * (f.gating == CMGLU_SHARED ? t : 1.f);
  const float gate = f.gating == CMGLU_NO_GATE_MASK ? t : 0.5f * (t + s);
  const float value = f.gating == CMGLU_NO_VALUE_MASK ? t : 0.5f * (t - s);
  return ACTIVATE(gate, f.activation) * value;
}

#include "fused_linear_input.cu"
