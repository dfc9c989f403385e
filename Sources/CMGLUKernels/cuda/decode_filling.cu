// decode_filling: the one thread of a block that fills its ring. A part of decode.cu, which includes
// it: it takes its Decode and Layer, its WINDOW and LEAD, decode_ring.cu and decode_share.cu.
//
// A stage is one copy, or two of a cache: each costs the thread some 60 cycles. While the ring has no
// room, what comes after it goes to the L2.

constexpr int VALUES = WARPS * CACHE / 2;  // bytes from a stage's keys to its values
// Positions of a stage: a chunk, or half of one.
constexpr int CACHED = BITS == 32 ? attend::BLOCK / 2 : attend::BLOCK;
static_assert(CACHED * HEAD * sizeof(attend::Element) <= VALUES, "a stage has room for them");

struct Filling {
  const Decode &d;
  const Layer *layers;
  int *blocks;        // of the cache, that this block's chunks are in
  Ring ring, oldest;  // where it is filled, and the oldest stage that is not known to be released
  int count, live;    // stages begun, and from the oldest on
  u64 kinds;          // two bits for each of these, the newest the lowest: a plane, a cell, a cache
  Course next, ahead;
  int lead;           // stages from the one to the other
  u64 policy;

  __device__ __forceinline__ Filling(
      const Decode &d, const Layer *layers, int *blocks, const Ring &ring)
      : d(d), layers(layers), blocks(blocks), ring(ring), oldest(ring), count(0), live(0),
        kinds(0), next(d, layers), ahead(next), lead(0) {
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
  }

  static __device__ __forceinline__ int size_of(int kind) {
    return kind == 0 ? PLANE : kind == 1 ? CELL : CACHE;
  }

  // Whether a stage of `size` bytes for each warp overwrites nothing.
  __device__ __forceinline__ bool has_room(int size) const {
    return live == 0 || (live < ring.stages && (oldest.offset < ring.offset ||
                                                ring.offset + WARPS * size <= oldest.offset));
  }

  __device__ __forceinline__ void look_ahead() {
    if (lead >= LEAD || ahead.is_end(d)) return;
    if (ahead.step != ATTENTION)
      asm volatile("cp.async.bulk.prefetch.L2.global.L2::cache_hint [%0], %1, %2;" ::"l"(ahead.from()),
                   "r"(ahead.bytes()), "l"(policy)
                   : "memory");
    ahead.next(d, layers);
    lead++;
  }

  // Waits until a stage of `size` bytes for each warp may be filled, and says how many will come.
  __device__ __forceinline__ void begin_stage(int size, int bytes) {
    while (!has_room(size))
      if (projection::is_complete(oldest.empty + oldest.stage * 8, oldest.parity))
        oldest.next(size_of(kinds >> 2 * --live & 3));
      else
        look_ahead();
    if (count >= WINDOW) {
      const int back = ring.stage - WINDOW;
      projection::barrier_wait(
          ring.full + (back < 0 ? back + ring.stages : back) * 8,
          back < 0 ? ring.parity ^ 1 : ring.parity);
    }
    count++, live++;
    kinds = kinds << 2 | (size == PLANE ? 0 : size == CELL ? 1 : 2);
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(ring.full + ring.stage * 8),
                 "r"(bytes)
                 : "memory");
  }

  __device__ __forceinline__ void copy(int offset, const void *from, int bytes) const {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1], %2, [%3], %4;" ::"r"(
            projection::shared_address(ring.memory + ring.offset + offset)),
        "l"(from), "r"(bytes), "r"(ring.full + ring.stage * 8), "l"(policy)
        : "memory");
  }

  // Which blocks this block's chunks are in, the same in every layer.
  __device__ __forceinline__ void find_blocks(const Share &share) const {
    const int *table = block_table(d) + share.split;
#pragma unroll 8
    for (int i = 0; share.split + i * SPLITS < share.chunks; i++) blocks[i] = __ldg(table + i * SPLITS);
  }

  // This block's part of a cache, keys and values of earlier positions.
  __device__ __forceinline__ void copy_cache(const Layer &layer, const Share &share, int position) {
    for (int chunk = share.split; chunk < share.chunks; chunk += SPLITS)
      for (int from = chunk * attend::BLOCK; from <= position && from < (chunk + 1) * attend::BLOCK;
           from += CACHED) {
        const int bytes = min(position - from, CACHED) * HEAD * (int)sizeof(attend::Element);
        const long long at =
            (((long long)blocks[chunk / SPLITS] * d.kvHeads + share.kv) * attend::BLOCK +
             from % attend::BLOCK) * HEAD;
        begin_stage(CACHE, 2 * bytes);
        if (bytes > 0) copy(0, layer.keys + at, bytes), copy(VALUES, layer.values + at, bytes);
        ring.next(CACHE);
      }
  }

  // Fills until there is nothing more. The position is there when the kernels before are done.
  __device__ __forceinline__ void run() {
    bool has_position = false;
    for (; !next.is_end(d); advance()) {
      if (next.step == ATTENTION) {
        if (!has_position) projection::wait_for_input();
        const int position = *d.position;
        const Share share(d, position);
        if (!has_position) find_blocks(share), has_position = true;
        copy_cache(layers[next.layer], share, position);
        continue;
      }
      begin_stage(next.matrix.size, next.bytes());
      copy(0, next.from(), next.bytes());
      ring.next(next.matrix.size);
    }
  }

  __device__ __forceinline__ void advance() {
    next.next(d, layers);
    if (lead > 0) lead--;
    else ahead = next;
  }
};
