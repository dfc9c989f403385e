// decode_attention: a block's part of attention, and the merging of what the splits of a head
// found. A part of decode.cu, which includes it: it takes its Decode and Layer, decode_ring.cu,
// decode_exchange.cu and decode_share.cu.

using attend::Element;

// The row that the step adds, and what of its rotation is this lane's.
struct NewRow {
  int position, block;  // of the cache
  float cosine, sine;

  __device__ __forceinline__ NewRow(const Decode &d, int position, int lane) : position(position) {
    block = block_table(d)[position / attend::BLOCK];
    const int i = position * attend::HALF + lane % attend::HALF;
    cosine = d.cosine[i], sine = d.sine[i];
  }
};
static_assert(32 % attend::HALF == 0, "a lane has one pair of each head");

// What the warps of a block share while they attend.
struct Attending {
  __align__(16) Element added[QUERIES + 2][HEAD];  // the new row's queries, key, rotated, and value
  float found[WARPS][QUERIES][HEAD + 2];
};

// Waits for the new row and rotates it.
__device__ __forceinline__ void take_row(
    const Decode &d, const Exchange &words, const Share &share, const NewRow &row, u32 epoch,
    Attending &shared) {
  for (int item = thread_index(); item < (QUERIES + 2) * attend::HALF; item += THREADS) {
    const int which = item / attend::HALF - QUERIES, i = item % attend::HALF;
    const int head = which < 0 ? share.group * QUERIES + which + QUERIES
                               : d.heads + which * d.kvHeads + share.kv;
    u64 low, high;
    do {
      low = look(words.qkv + place(head * HEAD + i));
      high = look(words.qkv + place(head * HEAD + attend::HALF + i));
    } while (!is_current(low, epoch) || !is_current(high, epoch));
    float2 pair = make_float2(attend::rounded(__uint_as_float((u32)low)),
                              attend::rounded(__uint_as_float((u32)high)));
    if (which < 1) attend::rotate(pair.x, pair.y, row.cosine, row.sine);
    Element *to = shared.added[which + QUERIES];
    to[i] = attend::to_element(pair.x), to[attend::HALF + i] = attend::to_element(pair.y);
  }
  meet();
}

#if BITS == 16

// What the block's chunks give for this thread's element, on tensor cores: a chunk for each warp at a
// time.
__device__ __forceinline__ void attend_share(
    Ring &ring, const Share &share, const NewRow &row, float factor, Attending &shared,
    float &largest, float &sum, float &value) {
  static_assert(QUERIES * HEAD <= THREADS, "an element for each thread");
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5;
  u32 query[attend::STEPS][2];
  attend::load_query(query, shared.added[0], QUERIES, lane);
  float all[3][1] = {{attend::NOTHING}, {0.f}, {0.f}};
  for (int from = share.split; from < share.chunks; from += WARPS * SPLITS) {
    const int count = min(WARPS, (share.chunks - from + SPLITS - 1) / SPLITS);
    for (int other = 0; other < count; other++) {
      if (other != warp) {
        ring.pass(CACHE, lane);
        continue;
      }
      const int chunk = from + other * SPLITS, last = row.position + 1 - chunk * attend::BLOCK;
      ring.await();
      Element *keys = (Element *)ring.part(0, CACHE), *values = keys + VALUES / sizeof(Element);
      if (last <= attend::BLOCK) {
        for (int i = lane; i < HEAD; i += 32) {
          keys[(last - 1) * HEAD + i] = shared.added[QUERIES][i];
          values[(last - 1) * HEAD + i] = shared.added[QUERIES + 1][i];
        }
        // Before the next copy to the same place.
        asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
        __syncwarp();
      }
      const attend::Chunk found =
          attend::attend_chunk(query, keys, values, 0, last, factor, lane);
      ring.release(lane);
      ring.next(CACHE);
      attend::leave(found, shared.found[warp], lane);
    }
    meet();
    attend::fold_chunks(shared.found, count, factor, thread, THREADS, all[0], all[1], all[2]);
    if (from + WARPS * SPLITS < share.chunks) meet();
  }
  largest = all[0][0], sum = all[1][0], value = all[2][0];
}

#else

// The same in float32: of each chunk, a few positions for each warp.
__device__ __forceinline__ void attend_share(
    Ring &ring, const Share &share, const NewRow &row, float factor, Attending &shared,
    float &largest, float &sum, float &value) {
  using attend::PAIRS, attend::KeyValue, attend::Running, attend::load_pairs, attend::AHEAD;
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5;
  float query[QUERIES][PAIRS][2];
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    load_pairs(shared.added[q], lane, query[q]);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      query[q][pair][0] *= factor;
      query[q][pair][1] *= factor;
    }
  }
  Running running[QUERIES];
  attend::clear(running);
  for (int chunk = share.split; chunk < share.chunks; chunk += SPLITS)
    for (int from = chunk * attend::BLOCK;
         from <= row.position && from < (chunk + 1) * attend::BLOCK; from += CACHED) {
      const int own = warp * AHEAD, count = row.position + 1 - from - own;
      const Element *keys = (const Element *)ring.part(0, CACHE) + own * HEAD;
      const Element *values = keys + VALUES / sizeof(Element);
      ring.await();
      KeyValue rows[AHEAD] = {};
#pragma unroll
      for (int ahead = 0; ahead < AHEAD; ahead++)
        if (ahead < count) {
          const bool isNew = ahead == count - 1;
          load_pairs(isNew ? shared.added[QUERIES] : keys + ahead * HEAD, lane, rows[ahead].key);
          load_pairs(isNew ? shared.added[QUERIES + 1] : values + ahead * HEAD, lane, rows[ahead].value);
        }
      ring.release(lane);
      ring.next(CACHE);
      if (count > 0) attend::add_rows(running, query, rows, count);
    }
  attend::leave(running, shared.found[warp], lane);
  meet();
  if (thread < QUERIES * HEAD)
    value = attend::merge(shared.found, thread / HEAD, thread % HEAD, largest, sum);
}

#endif

__device__ __forceinline__ void attention_of_block(
    const Decode &d, Ring &ring, const Layer &layer, const Exchange &words, const Share &share,
    const NewRow &row, u32 epoch, int l, Attending &shared) {
  if (share.split >= SPLITS) return;
  const int thread = thread_index();
  take_row(d, words, share, row, epoch, shared);
  STEP_MARK(l, 10);
  const float factor = d.scale * 1.44269504f;
  float largest, sum, value;
  attend_share(ring, share, row, factor, shared, largest, sum, value);
  STEP_MARK(l, 11);
  // The new row goes to the cache.
  if (share.writes && thread < HEAD) {
    const long long at = (((long long)row.block * d.kvHeads + share.kv) * attend::BLOCK +
                          row.position % attend::BLOCK) * HEAD + thread;
    layer.keys[at] = shared.added[QUERIES][thread];
    layer.values[at] = shared.added[QUERIES + 1][thread];
  }

  u64 *all = words.found + (long long)share.group * SPLITS * QUERIES * (HEAD + 2);
  if (thread < QUERIES * HEAD) {
    u64 *own = all + (share.split * QUERIES + thread / HEAD) * (HEAD + 2);
    publish(own + thread % HEAD, value, epoch);
    if (thread % HEAD == 0) publish(own + HEAD, largest, epoch), publish(own + HEAD + 1, sum, epoch);
  }
  STEP_MARK(l, 12);
  const int item = thread * SPLITS + share.split;
  if (item < QUERIES * HEAD) {
    const int i = item % HEAD;
    const u64 *first = all + item / HEAD * (HEAD + 2);
    u64 word[SPLITS][3];
    bool is_here;
    do {
      is_here = true;
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int which = 0; which < 3; which++)
          word[s][which] = look(
              first + s * QUERIES * (HEAD + 2) + (which == 2 ? i : HEAD + which));
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int which = 0; which < 3; which++)
          is_here = is_here && is_current(word[s][which], epoch);
    } while (!is_here);
    const float attended = attend::merged_value<SPLITS>(
        SPLITS, i, BITS == 16 ? factor : 1.f, [&](int s, int which) {
          return __uint_as_float((u32)word[s][which == HEAD ? 0 : which == HEAD + 1 ? 1 : 2]);
        });
    publish(words.attended + place(share.group * QUERIES * HEAD + item), attended, epoch);
  }
}
