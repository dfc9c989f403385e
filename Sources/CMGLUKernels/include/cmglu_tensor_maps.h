// How the copy engine of NVIDIA GPUs finds rows of x and cells of W (cuTensorMapEncodeTiled). Sizes, strides in bytes
// and boxes begin with the innermost dimension.
#ifndef CMGLU_TENSOR_MAPS_H
#define CMGLU_TENSOR_MAPS_H

#include "cmglu_cuda.h"

// CUtensorMap.
typedef struct {
  uint64_t words[16];
} cmglu_cuda_tensor_map;

// CUtensorMapDataType and CUtensorMapSwizzle.
enum { CMGLU_MAP_UINT16 = 1, CMGLU_MAP_UINT64 = 4 };
enum { CMGLU_MAP_PLAIN = 0, CMGLU_MAP_SWIZZLE_128B = 3 };

static inline cmglu_cuda_result cmglu_cuda_encode_map(
    const cmglu_cuda_driver *driver, cmglu_cuda_tensor_map *map, cmglu_cuda_address address, int type,
    uint32_t rank, const uint64_t *sizes, const uint64_t *strides, const uint32_t *box, int swizzle) {
  enum { PROMOTION_L2_128B = 2 };
  const uint32_t steps[4] = {1, 1, 1, 1};
  // The driver wants whole lines, which Swift's structures do not keep.
  _Alignas(64) cmglu_cuda_tensor_map aligned;
  const cmglu_cuda_result result =
      driver->cuTensorMapEncodeTiled(&aligned, type, rank, address, sizes, strides, box, steps, 0,
                                     swizzle, PROMOTION_L2_128B, 0);
  *map = aligned;
  return result;
}

// The map of fused_linear_batch.cu: `pieces` of `rows` rows of 16-bit elements, 32 at a time, of which it
// copies boxes of [1][2][box_rows][32].
static inline cmglu_cuda_result cmglu_cuda_map_rows(
    const cmglu_cuda_driver *driver, cmglu_cuda_tensor_map *map, cmglu_cuda_address address,
    int columns, int rows, int64_t row_bytes, int pieces, int64_t piece_bytes, int box_rows) {
  const uint64_t sizes[4] = {32, (uint64_t)rows, (uint64_t)((columns + 63) / 64 * 2),
                             (uint64_t)pieces};
  const uint64_t strides[3] = {(uint64_t)row_bytes, 64, (uint64_t)piece_bytes};
  const uint32_t box[4] = {32, (uint32_t)box_rows, 2, 1};
  return cmglu_cuda_encode_map(driver, map, address, CMGLU_MAP_UINT16, 4, sizes, strides, box,
                               CMGLU_MAP_PLAIN);
}

// The map of fused_linear_batch_wide.cu and fused_linear_prompt.cu: `pieces` of `rows` rows of 16 bits,
// interleaved, of which they copy boxes of [1][box_rows][64], swizzled by 128 bytes.
static inline cmglu_cuda_result cmglu_cuda_map_interleaved_rows(
    const cmglu_cuda_driver *driver, cmglu_cuda_tensor_map *map, cmglu_cuda_address address,
    int columns, int rows, int64_t row_bytes, int pieces, int64_t piece_bytes, int box_rows) {
  const uint64_t sizes[3] = {(uint64_t)((columns + 63) / 64 * 64), (uint64_t)rows,
                             (uint64_t)pieces};
  const uint64_t strides[2] = {(uint64_t)row_bytes, (uint64_t)piece_bytes};
  const uint32_t box[3] = {64, (uint32_t)box_rows, 1};
  return cmglu_cuda_encode_map(driver, map, address, CMGLU_MAP_UINT16, 3, sizes, strides, box,
                               CMGLU_MAP_SWIZZLE_128B);
}

// The map of weights in cells of `cell_bytes` (fused_linear_cell.cu), `tiles` rows of `cells` each, of which
// kernels for many rows copy boxes of a cell of `box_tiles` rows.
static inline cmglu_cuda_result cmglu_cuda_map_cells(
    const cmglu_cuda_driver *driver, cmglu_cuda_tensor_map *map, cmglu_cuda_address address,
    int cell_bytes, int cells, int tiles, int box_tiles) {
  // A box has 256 elements of 8 bytes at most in a row.
  const uint32_t parts = cell_bytes > 2048 ? 2 : 1, part = (uint32_t)cell_bytes / parts;
  const uint64_t sizes[4] = {part / 8, parts, (uint64_t)cells, (uint64_t)tiles};
  const uint64_t strides[3] = {part, (uint64_t)cell_bytes, (uint64_t)cell_bytes * (uint64_t)cells};
  const uint32_t box[4] = {part / 8, parts, 1, (uint32_t)box_tiles};
  return cmglu_cuda_encode_map(driver, map, address, CMGLU_MAP_UINT64, 4, sizes, strides, box,
                               CMGLU_MAP_PLAIN);
}
#endif
