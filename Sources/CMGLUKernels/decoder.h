// The rest of the decoder: norm, rotary embedding, attention's rows, loss, optimizer.

// Where norm `index` lies: `parts` norms of `width` elements side by side in each row.
static inline int64_t norm_offset(cmglu_norm_parts parts, int64_t width, int64_t index) {
  return index / parts.count * parts.stride + index % parts.count * width;
}

static void rms_norm(const float *x, const float *weight, float eps, float *y, float *inverse_rms,
                     cmglu_norm_parts parts, int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const int64_t at = norm_offset(parts, width, row);
    const float *in = x + at;
    vf squares = {};
    FOR_VECTORS(j, m, width) {
      vf v = load(in + j, m);
      squares += v * v;
    }
    const float r = 1.f / sqrtf(sum(squares) / (float)width + eps);
    inverse_rms[row] = r;
    FOR_VECTORS(j, m, width)
      store(y + at + j, load(weight + j, m) * (load(in + j, m) * splat(r)), m);
  }
}

static void rms_norm_backward(const float *dy, const float *x, const float *weight,
                              const float *inverse_rms, float *dx, float *dweight, bool adds,
                              cmglu_norm_parts parts, int64_t width, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const int64_t at = norm_offset(parts, width, row);
    const float *up = dy + at, *in = x + at;
    float *out = dx + at;
    const float r = inverse_rms[row];
    vf inner = {};
    FOR_VECTORS(j, m, width)
      inner += load(up + j, m) * load(weight + j, m) * load(in + j, m);
    const vf along = splat(sum(inner) * r * r * r / (float)width), scale = splat(r);
    FOR_VECTORS(j, m, width) {
      vf v = load(in + j, m), g = load(up + j, m);
      store(dweight + j, load(dweight + j, m) + g * v * scale, m);
      const vf before = adds ? load(out + j, m) : splat(0.f);
      store(out + j, before + g * load(weight + j, m) * scale - v * along, m);
    }
  }
}

static void rope(float *x, int64_t stride, int64_t heads, int64_t head_size, int64_t rotary_size,
                 const int32_t *positions, const float *cosine, const float *sine, float direction,
                 int64_t begin, int64_t end) {
  const int64_t half = rotary_size / 2;
  for (int64_t row = begin; row < end; row++) {
    const float *c = cosine + positions[row] * half, *s = sine + positions[row] * half;
    for (int64_t head = 0; head < heads; head++) {
      float *low = x + row * stride + head * head_size, *high = low + half;
      FOR_VECTORS(j, m, half) {
        vf a = load(low + j, m), b = load(high + j, m);
        vf co = load(c + j, m), si = splat(direction) * load(s + j, m);
        store(low + j, a * co - b * si, m);
        store(high + j, b * co + a * si, m);
      }
    }
  }
}

INLINE float row_maximum(const float *x, int64_t length) {
  vf top = splat(-INFINITY);
  FOR_VECTORS(j, m, length) {
    vf v = load(x + j, m);
    if (m < LANES)
      for (int64_t lane = m; lane < LANES; lane++) v[lane] = -INFINITY;
    top = select((v > top) | (v != v), v, top);
  }
  return largest(top);
}

// x <- e^(scale x - shift), returning the sum.
INLINE float exponentiate(float *x, float scale, float shift, int64_t length) {
  vf total = {};
  FOR_VECTORS(j, m, length) {
    vf e = exponential(load(x + j, m) * splat(scale) - splat(shift));
    store(x + j, e, m);
    if (m < LANES) e = load(x + j, m);
    total += e;
  }
  return sum(total);
}

static float softmax_row(float *scores, float scale, int64_t length, int64_t width) {
  const float top = row_maximum(scores, length) * scale;
  const float total = exponentiate(scores, scale, top, length);
  FOR_VECTORS(j, m, length)
    store(scores + j, load(scores + j, m) * splat(1.f / total), m);
  memset(scores + length, 0, (size_t)(width - length) * sizeof(float));
  return top + logf(total);
}

static void probability_row(float *scores, float scale, float log_sum_exp, int64_t length,
                            int64_t width) {
  exponentiate(scores, scale, log_sum_exp, length);
  memset(scores + length, 0, (size_t)(width - length) * sizeof(float));
}

static void softmax_row_backward(const float *p, float *dp, float delta, float scale,
                                 int64_t length) {
  FOR_VECTORS(j, m, length)
    store(dp + j, load(p + j, m) * (load(dp + j, m) - splat(delta)) * splat(scale), m);
}

static float dot(const float *a, const float *b, int64_t count) {
  vf total = {};
  FOR_VECTORS(j, m, count) total += load(a + j, m) * load(b + j, m);
  return sum(total);
}

static void attend(const float *query, const float *keys, const float *values,
                   const int32_t *blocks, int64_t block_stride, int64_t size, int64_t first,
                   int64_t end, float scale, float *scores, float *out) {
  for (int64_t t = first; t < end;) {
    const int64_t within = t % CMGLU_KEY_BLOCK, rest = CMGLU_KEY_BLOCK - within;
    const int64_t count = end - t < rest ? end - t : rest;
    const float *key = keys + blocks[t / CMGLU_KEY_BLOCK] * block_stride + within * size;
    for (int64_t u = 0; u < count; u += LANES) {
      const int64_t live = count - u < LANES ? count - u : LANES;
      vf sums[LANES] = {};
      FOR_VECTORS(j, m, size) {
        const vf q = load(query + j, m);
        for (int64_t i = 0; i < live; i++) sums[i] += q * load(key + (u + i) * size + j, m);
      }
      store(scores + t - first + u, sums_of_vectors(sums), live);
    }
    t += count;
  }
  softmax_row(scores, scale, end - first, end - first);
  // Four sums take turns, so that an addition need not wait for the one before.
  FOR_VECTORS(j, m, size) {
    vf sums[4] = {};
    for (int64_t t = first; t < end;) {
      const int64_t within = t % CMGLU_KEY_BLOCK, rest = CMGLU_KEY_BLOCK - within;
      const int64_t count = end - t < rest ? end - t : rest;
      const float *value = values + blocks[t / CMGLU_KEY_BLOCK] * block_stride + within * size + j;
      const float *weight = scores + t - first;
      int64_t u = 0;
      for (; u + 4 <= count; u += 4)
        EACH(i, 4) sums[i] += splat(weight[u + i]) * load(value + (u + i) * size, m);
      for (; u < count; u++) sums[0] += splat(weight[u]) * load(value + u * size, m);
      t += count;
    }
    store(out + j, (sums[0] + sums[1]) + (sums[2] + sums[3]), m);
  }
}

static void cross_entropy(float *logits, const int32_t *targets, float *losses, float scale,
                          int64_t width, int64_t vocabulary, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    float *x = logits + row * width;
    const int32_t target = targets[row];
    if (target < 0) {
      losses[row] = 0;
      if (scale != 0) memset(x, 0, (size_t)width * sizeof(float));
      continue;
    }
    const float top = row_maximum(x, vocabulary), chosen = x[target];
    const float total = exponentiate(x, 1.f, top, vocabulary);
    // The large numbers first: they cancel exactly.
    losses[row] = logf(total) + (top - chosen);
    if (scale == 0) continue;
    FOR_VECTORS(j, m, vocabulary) store(x + j, load(x + j, m) * splat(scale / total), m);
    x[target] -= scale;
    memset(x + vocabulary, 0, (size_t)(width - vocabulary) * sizeof(float));
  }
}

static void distill(float *logits, const float *teacher, const int32_t *targets, float *losses,
                    float scale, float share, float temperature, int64_t width,
                    int64_t teacher_width, int64_t vocabulary, float *scratch, int64_t begin,
                    int64_t end) {
  float *p = scratch, *q = scratch + vocabulary;
  const float inverse = 1.f / temperature;
  for (int64_t row = begin; row < end; row++) {
    float *x = logits + row * width;
    const float *y = teacher + row * teacher_width;
    const int32_t target = targets[row];
    if (target < 0) {
      losses[row] = 0;
      memset(x, 0, (size_t)width * sizeof(float));
      continue;
    }
    const float top = row_maximum(x, vocabulary), teacher_top = row_maximum(y, vocabulary);
    // The large numbers first: they cancel exactly.
    FOR_VECTORS(j, m, vocabulary) {
      store(p + j, load(x + j, m) - splat(top), m);
      store(q + j, load(y + j, m) - splat(teacher_top), m);
    }
    const float p_total = exponentiate(p, inverse, 0, vocabulary);
    const float q_total = exponentiate(q, inverse, 0, vocabulary);
    // sum q (log q - log p), of which the logarithms of the totals come out.
    vf divergence = {};
    FOR_VECTORS(j, m, vocabulary)
      divergence += load(q + j, m) * ((load(y + j, m) - splat(teacher_top))
                                      - (load(x + j, m) - splat(top)));
    const float kl = sum(divergence) * inverse / q_total + logf(p_total) - logf(q_total);
    const float chosen = x[target], own = scale * (1.f - share);
    const float total = exponentiate(x, 1.f, top, vocabulary);
    losses[row] = (1.f - share) * (logf(total) + (top - chosen))
                  + share * temperature * temperature * kl;
    const vf hard = splat(own / total), soft = splat(scale * share * temperature);
    const vf p_scale = splat(1.f / p_total), q_scale = splat(1.f / q_total);
    // Probabilities first, so that one of one leaves nothing of it.
    FOR_VECTORS(j, m, vocabulary) {
      const vf difference = load(p + j, m) * p_scale - load(q + j, m) * q_scale;
      store(x + j, load(x + j, m) * hard + difference * soft, m);
    }
    x[target] -= own;
    memset(x + vocabulary, 0, (size_t)(width - vocabulary) * sizeof(float));
  }
}

static float log_sum_exp(const float *x, int64_t count) {
  vf top = splat(-INFINITY);
  FOR_VECTORS(j, m, count) {
    vf v = load(x + j, m);
    for (int64_t lane = m; lane < LANES; lane++) v[lane] = -INFINITY;
    top = select(v > top, v, top);
  }
  const float shift = largest(top);
  if (!isfinite(shift)) return shift;
  vd total = {};
  FOR_VECTORS(j, m, count) {
    vf e = exponential(load(x + j, m) - splat(shift));
    e = (vf)((vi)e & (e == e));
    for (int64_t lane = m; lane < LANES; lane++) e[lane] = 0;
    total += __builtin_convertvector(e, vd);
  }
  double all = 0;
  for (int lane = 0; lane < LANES; lane++) all += total[lane];
  return shift + (float)log(all);
}

static void adamw(float *w, const float *g, float *m1, float *m2, float rate, float beta1,
                  float beta2, float eps, float decay, float correction1, float correction2,
                  float gradient_scale, int64_t begin, int64_t end) {
  const vf b1 = splat(beta1), b2 = splat(beta2), one = splat(1.f);
  const vf step = splat(rate / correction1), shrink = splat(1.f - rate * decay);
  const vf unbias = splat(1.f / correction2);
  FOR_VECTORS(j, m, end - begin) {
    const int64_t k = begin + j;
    vf gradient = load(g + k, m) * splat(gradient_scale);
    vf first = b1 * load(m1 + k, m) + (one - b1) * gradient;
    vf second = b2 * load(m2 + k, m) + (one - b2) * gradient * gradient;
    store(m1 + k, first, m);
    store(m2 + k, second, m);
    vf root = second * unbias;
    for (int lane = 0; lane < LANES; lane++) root[lane] = sqrtf(root[lane]);
    store(w + k, load(w + k, m) * shrink - step * first / (root + splat(eps)), m);
  }
}

static double sum_of_squares(const float *x, int64_t count) {
  double partial[16] = {};
  int64_t j = 0;
  for (; j + 16 <= count; j += 16)
    for (int lane = 0; lane < 16; lane++) partial[lane] += (double)x[j + lane] * x[j + lane];
  for (; j < count; j++) partial[0] += (double)x[j] * x[j];
  double total = 0;
  for (int lane = 0; lane < 16; lane++) total += partial[lane];
  return total;
}

static void add(const float *x, float *y, int64_t begin, int64_t end) {
  FOR_VECTORS(j, m, end - begin) store(y + begin + j, load(y + begin + j, m) + load(x + begin + j, m), m);
}
