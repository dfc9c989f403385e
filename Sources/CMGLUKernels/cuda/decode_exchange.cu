// decode_exchange: how the blocks of decode.cu hand results to one another, which its header
// explains. A part of decode.cu, which includes it: it takes its Decode, and u32 and u64.

// Where each result lies among the words.
struct Exchange {
  u32 *epoch;     // of the layer before the first; grows by their number
  u32 *finished;  // blocks that are done
  u64 *afterOutput, *afterDown, *qkv, *found, *attended, *inner;

  // What a step reads, and what becomes of it.
  __device__ __forceinline__ const u64 *input(int step) const {
    return step == QKV ? afterDown : step == OUTPUT ? attended : step == UP ? afterOutput : inner;
  }
  __device__ __forceinline__ u64 *output(int step) const {
    return step == QKV ? qkv : step == OUTPUT ? afterOutput : step == UP ? inner : afterDown;
  }
};

// Words of so many elements, wherever each lies (`place`).
__device__ __forceinline__ int words_of(int elements) { return (elements + 255) & ~255; }

__device__ __forceinline__ Exchange exchanged(const Decode &d) {
  Exchange e;
  e.epoch = (u32 *)d.words, e.finished = e.epoch + 2;
  e.afterOutput = d.words + 2;
  e.afterDown = e.afterOutput + words_of(d.hidden);
  e.qkv = e.afterDown + words_of(d.hidden);
  e.attended = e.qkv + words_of((d.heads + 2 * d.kvHeads) * HEAD);
  e.inner = e.attended + words_of(d.heads * HEAD);
  e.found = e.inner + words_of(d.intermediate);  // [heads / QUERIES][splits][QUERIES][HEAD + 2]
  return e;
}

// Where an element's word lies: in the order in which a warp's lanes take two of each eighth, so that
// they read whole lines at a time.
__device__ __forceinline__ int place(int element) {
  return (element & ~255) | (element >> 1 & 3) << 6 | (element >> 3 & 31) << 1 | (element & 1);
}

__device__ __forceinline__ void publish(u64 *word, float value, u32 epoch) {
  asm volatile("st.relaxed.gpu.global.b64 [%0], %1;" ::"l"(word),
               "l"((u64)epoch << 32 | __float_as_uint(value))
               : "memory");
}

__device__ __forceinline__ u64 look(const u64 *word) {
  u64 value;
  asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];" : "=l"(value) : "l"(word) : "memory");
  return value;
}

__device__ __forceinline__ bool is_current(u64 word, u32 epoch) { return (u32)(word >> 32) == epoch; }

__device__ __forceinline__ float await(const u64 *word, u32 epoch) {
  u64 value;
  do value = look(word);
  while (!is_current(value, epoch));
  return __uint_as_float((u32)value);
}

struct Chunk {
  u64 word[8];
};

// Those of the elements from a multiple of eight on.
__device__ __forceinline__ void look(const u64 *words, int element, Chunk &chunk) {
  const u64 *from = words + place(element);
#pragma unroll
  for (int i = 0; i < 8; i += 2)
    asm volatile("ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];"
                 : "=l"(chunk.word[i]), "=l"(chunk.word[i + 1])
                 : "l"(from + i * 32)
                 : "memory");
}

__device__ __forceinline__ bool is_current(const Chunk &chunk, u32 epoch) {
  bool is = true;
#pragma unroll
  for (int i = 0; i < 8; i++) is = is && is_current(chunk.word[i], epoch);
  return is;
}

// Numbers of a thread: eight from `first` on, and from every STEP after it below `count`. A tile's first
// word is asked for by every second lane until it is there: if all of a block's threads did so for
// all they want, the L2 would serve little else: that costs h 576 a tenth, though it saves a way
// through the L2, and h 2048 three percent.
constexpr int STEP = THREADS * 8;

template <int CHUNKS>
__device__ __forceinline__ void await_tiles(
    const u64 *words, int first, int count, u32 epoch, int lane) {
  bool is_here;
  do {
    u64 word[CHUNKS];
    is_here = true;
    if (lane % 2 == 0) {
#pragma unroll
      for (int a = 0; a < CHUNKS; a++)
        if (first + a * STEP < count) word[a] = look(words + place(first + a * STEP));
#pragma unroll
      for (int a = 0; a < CHUNKS; a++)
        if (first + a * STEP < count) is_here = is_here && is_current(word[a], epoch);
    }
  } while (!__all_sync(~0u, is_here));
}

// What await_tiles has waited for; zeros from `count` on.
template <int CHUNKS>
__device__ __forceinline__ void take_chunks(
    const u64 *words, int first, int count, u32 epoch, float (&value)[CHUNKS][8]) {
  Chunk chunk[CHUNKS] = {};
  bool is_here;
  do {
    is_here = true;
#pragma unroll
    for (int a = 0; a < CHUNKS; a++)
      if (first + a * STEP < count) look(words, first + a * STEP, chunk[a]);
#pragma unroll
    for (int a = 0; a < CHUNKS; a++)
      if (first + a * STEP < count) is_here = is_here && is_current(chunk[a], epoch);
  } while (!is_here);
#pragma unroll
  for (int a = 0; a < CHUNKS; a++)
#pragma unroll
    for (int i = 0; i < 8; i++) value[a][i] = __uint_as_float((u32)chunk[a].word[i]);
}
