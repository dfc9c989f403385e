// attention_train: causal grouped-query attention over sequences of equal length, for training: the
// forward pass, and the gradients of queries, keys and values.
//
//     S = Q K^T / sqrt(HEAD), masked above the diagonal and `window` below it    P = exp(S - logSumExp)    O = P V
//     dV = P^T dO    dP = dO V^T    dS = P (dP - delta), delta = sum dO O
//     dQ = dS K / sqrt(HEAD)    dK = dS^T Q / sqrt(HEAD)
//
// Layout    qkv and its gradient [sequences length][(heads + 2 kvHeads) HEAD], queries first, then
//           keys, then values, rotated; output and upstream [sequences length][heads HEAD]; all
//           BF16 and 16-byte aligned. logSumExp [sequences][heads][length], float32, natural.
// Variants  HEAD, the elements of a head, even, at most 128; GROUP = heads / kvHeads, the query heads
//           of a key-value head; WINDOW, 1 where queries see `window` keys in place of all.
// Launch    128 threads, blocks (kvHeads, sequences, z), dynamic shared memory of 4 TILE STRIDE bytes
//           (attention_train_keys: and 2 SCRATCH_BYTES), with STRIDE = 2 HEAD rounded up to 32, + 16:
//               attention_train_forward  z = ceil(length GROUP / (64 MT)), MT = 2 up to HEAD 64, else 1
//               attention_train_queries  z = the same
//               attention_train_keys     z = ceil(length / (64 KEYS_MT)), KEYS_MT = 2 up to HEAD 48, else 1
//           The gradient of keys and values reads what attention_train_queries left in `scratch`,
//           ceil(length GROUP / 64) SCRATCH_BYTES for each sequence and key-value head.
//
// Rows. The query heads of a key-value head are stacked: row r is position r / GROUP of head r % GROUP.
// A tile of keys serves them all, and a block's rows span few positions, so little lies above
// the diagonal. A warp has 16 MT rows (or keys) whose fragments stay in registers; tiles of the other
// side pass through two stages of shared memory, 64 rows each. Heavy blocks start first.
//
// Exponents. Scores are exponentiated against a maximum that may be old: 2^(s - m) is exact enough
// as long as it is finite, because BF16 has the exponents of float32. Only if a sum grows past
// LIMIT are the scores of a step computed again, and the maximum raised: always at the first
// keys, rarely after. So a score costs a multiply-add, an exponential, an addition and half a
// conversion, and no comparison.
//
// Gradients. No sum crosses blocks: one kernel owns queries, the other keys with all heads of
// their group. Both compute S and dP (seven products instead of five), but every result is the same
// bit for bit each time. -delta is what the products of dP start from.
//
// Measured on an H100 (2026-11-25, Benchmarks/cuda/attention_train.cu --time, 16 sequences of 1024,
// 24 heads, 6 key-value heads, HEAD 32), microseconds a layer: forward 107, queries 137, keys 191.
// 32 heads, 8 key-value heads, HEAD 64: forward 271, queries 363, keys 517; an earlier source had keys
// at 449 with KEYS_MT 2 and KEYS_BLOCKS 2, which spills.

#ifndef HEAD
#define HEAD 64
#endif
#ifndef GROUP
#define GROUP 1
#endif
#ifndef WINDOW
#define WINDOW 0
#endif

typedef unsigned int u32;
typedef unsigned short u16;

constexpr int PADDED = (HEAD + 15) / 16 * 16;
constexpr int STEPS = PADDED / 16;        // of a product over the elements of a head
constexpr int STRIDE = PADDED * 2 + 16;   // bytes: an odd number of 16, so ldmatrix has no conflicts
constexpr int THREADS = 128, TILE = 64;
constexpr int TILE_BYTES = TILE * STRIDE;
// Of 64 rows: -delta of each two rows twice (as an accumulator wants them), then -logSumExp log2 e.
constexpr int SCRATCH_BYTES = 64 * 8 + 64 * 4;
constexpr float LIMIT = 1099511627776.f;  // 2^40
constexpr float LOG2E = 1.44269504f, MASKED = -3e38f;

#ifndef MT
#define MT (PADDED <= 64 ? 2 : 1)  // groups of 16 rows of a warp
#endif
#ifndef KEYS_MT
#define KEYS_MT (PADDED <= 48 ? 2 : 1)  // of 16 keys
#endif
#ifndef CHUNK
#define CHUNK 16  // keys of a step of the forward pass
#endif
// Whether scores are computed a step ahead of the exponentials.
#ifndef QUERIES_AHEAD
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 900
#define QUERIES_AHEAD (PADDED <= 32 || PADDED == 64)
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 1200
#define QUERIES_AHEAD (PADDED <= 32)
#else
#define QUERIES_AHEAD 0  // would spill
#endif
#endif
#ifndef KEYS_AHEAD
#define KEYS_AHEAD (PADDED <= 32)
#endif
// Blocks that a multiprocessor shall hold.
#ifndef FORWARD_BLOCKS
#define FORWARD_BLOCKS (PADDED <= 32 ? 4 : 2)
#endif
#ifndef QUERIES_BLOCKS
#define QUERIES_BLOCKS (PADDED <= 32 ? 3 : 2)
#endif
#ifndef KEYS_BLOCKS
#define KEYS_BLOCKS (PADDED == 64 ? 3 : 2)
#endif

struct AttentionTrain {
  const u16 *qkv;
  u16 *output;          // written by the forward pass, read by the backward
  float *logSumExp;     // the same
  const u16 *upstream;  // of the backward pass
  u16 *gradient;
  unsigned char *scratch;
  int length, kvHeads, window;
  float scale;  // 1 / sqrt(HEAD)

  // Whether the query at a position sees a key.
  __device__ __forceinline__ bool sees(int position, int key) const {
    return key <= position && (!WINDOW || key > position - window);
  }
  // Whether all queries at positions up to `highest` see all keys from `key` on that they may see.
  __device__ __forceinline__ bool windows_begin_before(int key, int highest) const {
    return !WINDOW || key > highest - window;
  }
  // Whether no query at a position from `lowest` on sees a key up to `key`.
  __device__ __forceinline__ bool windows_begin_after(int key, int lowest) const {
    return WINDOW && key <= lowest - window;
  }
  // The first tile of keys that a query at a position from `lowest` on sees.
  __device__ __forceinline__ int first_tile(int lowest) const {
    return WINDOW ? max(0, lowest + 1 - window) / TILE : 0;
  }
};

#define BF16 1
#include "attention_matrices.cu"
#include "attention_train_tiles.cu"

extern __shared__ __align__(16) unsigned char attention_memory[];

#include "attention_train_forward.cu"
#include "attention_train_backward.cu"
