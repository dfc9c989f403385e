// Brings matrices and mask bits into the cells of fused_linear.cu, once, when weights are loaded.
//
// A thread makes one 16-byte piece of a plane, or one mask word. Where source and target have the
// same type the bits are copied; else a value goes through float32 and is rounded to the nearest.

#include "cmglu_numbers.h"

typedef unsigned int u32;
typedef unsigned short u16;

constexpr int PLANE_BYTES = 16 * 64 * 2;
constexpr int INTEGER_BYTES = 16 * 64, INTEGER_PLANE_BYTES = INTEGER_BYTES + 16 * 2 * 2;

__device__ __forceinline__ float half_to_float(u16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

__device__ __forceinline__ u16 narrow(float value, int type) {
  u16 bits;
  if (type == CMGLU_F16) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  } else {
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  }
  return bits;
}

// weights [rows][columns] of `type` with, for CMGLU_I8, scales [rows][ceil(columns / 32)] in FP16, into
// plane `plane` of cells of `cellBytes`, from row `firstRow` of all rows on.
extern "C" __global__ void pack_plane(
    const void *weights, const u16 *scales, unsigned char *cells, long long rows,
    long long columns, long long firstRow, int type, int target, int plane, int cellBytes) {
  const long long perTile = (columns + 63) / 64;
  const long long firstTile = firstRow / 16, tiles = (firstRow + rows + 15) / 16 - firstTile;
  const long long pieces = tiles * perTile * 128;
  for (long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x; index < pieces;
       index += (long long)gridDim.x * blockDim.x) {
    const int lane = index & 31, part = index >> 5 & 3;
    const long long cell = firstTile * perTile + (index >> 7);
    const long long row = cell / perTile * 16 + (lane >> 2) + 8 * (part & 1) - firstRow;
    const long long k = cell % perTile * 64 + (part >> 1) * 32 + (lane & 3) * 8;
    if (row < 0 || row >= rows) continue;
    u16 piece[8];
    for (int i = 0; i < 8; i++) {
      const long long at = row * columns + k + i;
      if (k + i >= columns) {
        piece[i] = 0;
      } else if (type == target) {
        piece[i] = ((const u16 *)weights)[at];
      } else if (type == CMGLU_F32) {
        piece[i] = narrow(((const float *)weights)[at], target);
      } else if (type == CMGLU_I8) {
        const float scale = half_to_float(scales[row * ((columns + 31) / 32) + (k + i) / 32]);
        piece[i] = narrow(scale * (float)((const signed char *)weights)[at], target);
      } else {
        const u16 bits = ((const u16 *)weights)[at];
        piece[i] = narrow(
            type == CMGLU_F16 ? half_to_float(bits) : __uint_as_float((u32)bits << 16), target);
      }
    }
    uint4 packed;
    packed.x = piece[0] | (u32)piece[1] << 16;
    packed.y = piece[2] | (u32)piece[3] << 16;
    packed.z = piece[4] | (u32)piece[5] << 16;
    packed.w = piece[6] | (u32)piece[7] << 16;
    *(uint4 *)(cells + cell * cellBytes + plane * PLANE_BYTES + (part * 32 + lane) * 16) = packed;
  }
}

// The same of CMGLU_I8 into planes of integers with their scales, as they are.
extern "C" __global__ void pack_integers(
    const signed char *weights, const u16 *scales, unsigned char *cells, long long rows,
    long long columns, long long firstRow, int plane, int cellBytes) {
  const long long perTile = (columns + 63) / 64;
  const long long firstTile = firstRow / 16, tiles = (firstRow + rows + 15) / 16 - firstTile;
  const long long pieces = tiles * perTile * 128;
  for (long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x; index < pieces;
       index += (long long)gridDim.x * blockDim.x) {
    const int lane = index & 31, half = index >> 5 & 1, block = index >> 6 & 1;
    const long long cell = firstTile * perTile + (index >> 7);
    const long long row = cell / perTile * 16 + (lane >> 2) + 8 * half - firstRow;
    const long long first = cell % perTile * 64 + block * 32, k = first + (lane & 3) * 8;
    if (row < 0 || row >= rows) continue;
    unsigned char *const to = cells + cell * cellBytes + plane * INTEGER_PLANE_BYTES;
    u32 words[2] = {0x80808080u, 0x80808080u};  // zeros
    for (int i = 0; i < 8; i++)
      if (k + i < columns) words[i >> 2] ^= (u32)(unsigned char)weights[row * columns + k + i] << i % 4 * 8;
    *(uint2 *)(to + (block * 32 + lane) * 16 + half * 8) = make_uint2(words[0], words[1]);
    if ((lane & 3) == 0)
      *(u16 *)(to + INTEGER_BYTES + (lane >> 2) * 8 + block * 4 + half * 2) =
          first < columns ? scales[row * ((columns + 31) / 32) + first / 32] : 0;
  }
}

// masks [count][rows][ceil(columns / 8)], least significant bit first, into the words of cells of
// one plane, from row `firstRow`, a multiple of 16, on. Bit 15 - p of a word, and 31 - p, is set
// where the first, and the second, weight of register p of the lane's 16 changes its sign: where
// the mask is 0.
extern "C" __global__ void pack_masks(
    const unsigned char *masks, unsigned char *cells, long long rows, long long columns,
    long long firstRow, int count, int cellBytes) {
  const long long perTile = (columns + 63) / 64, tiles = (rows + 15) / 16;
  const long long stride = (columns + 7) / 8, words = tiles * perTile * count * 32;
  const int vector = count % 4 == 0 ? 4 : count % 2 == 0 ? 2 : 1;
  for (long long index = blockIdx.x * (long long)blockDim.x + threadIdx.x; index < words;
       index += (long long)gridDim.x * blockDim.x) {
    const int slot = index % (count * 32);
    const int mask = slot / (32 * vector) * vector + slot % vector, lane = slot / vector % 32;
    const long long within = index / (count * 32), cell = firstRow / 16 * perTile + within;
    u32 word = 0;
    for (int p = 0; p < 16; p++) {
      const int block = p >> 3, step = p >> 2 & 1, r = p & 3;
      const long long row = within / perTile * 16 + (lane >> 2) + 8 * (r & 1);
      const long long k = within % perTile * 64 + block * 32 + (lane & 3) * 8 + step * 4 + (r >> 1) * 2;
      for (int i = 0; i < 2; i++) {
        const bool inside = row < rows && k + i < columns;
        const bool one =
            inside && (masks[(mask * rows + row) * stride + (k + i) / 8] >> ((k + i) % 8) & 1);
        if (!one) word |= 1u << (15 + 16 * i - p);
      }
    }
    *(u32 *)(cells + (cell + 1) * cellBytes - (count * 32 - slot) * 4) = word;
  }
}
