// The feed-forward units: combining streams, and the masked stack. Equations in CMGLUKernels.h.

// One stream's factors and what flows back into them.
typedef struct {
  vf gate, value;    // u and v of g(u) v
  vf dgate, dvalue;  // dA p g'(u) v and dA p g(u)
} product;

INLINE vf multiply(cmglu_activation g, vf gate, vf value) { return activate(g, gate, 0) * value; }

INLINE void multiply_backward(cmglu_activation g, vf da, product *x) {
  vf slope, activated = activate(g, x->gate, &slope);
  x->dgate = da * slope * x->value;
  x->dvalue = da * activated;
}

INLINE int64_t stream_count(cmglu_gating gating, int64_t masks) {
  return gating == CMGLU_LINEAR || gating == CMGLU_SHARED ? 1 : gating == CMGLU_GATED ? 2
                                                                                     : masks + 1;
}

// The factors of route i from its stream s_i and the total t.
INLINE product masked_product(cmglu_gating gating, vf s, vf t) {
  return (product){.gate = gating == CMGLU_NO_GATE_MASK ? t : s,
                   .value = gating == CMGLU_NO_VALUE_MASK ? t : t - s};
}

static void combine(cmglu_gating gating, cmglu_activation g, int64_t masks, int64_t width,
                    const float *streams, const float *routes, float *a, int64_t begin,
                    int64_t end) {
  const int64_t count = stream_count(gating, masks);
  for (int64_t row = begin; row < end; row++) {
    const float *x = streams + row * count * width, *last = x + (count - 1) * width;
    const float *p = routes ? routes + row * masks : 0;
    FOR_VECTORS(j, m, width) {
      vf t = load(last + j, m), y = {};
      switch (gating) {
        case CMGLU_LINEAR: y = activate(g, t, 0); break;
        case CMGLU_SHARED: y = multiply(g, t, t); break;
        case CMGLU_GATED: y = multiply(g, load(x + j, m), t); break;
        default:
          for (int64_t i = 0; i < masks; i++) {
            product f = masked_product(gating, load(x + i * width + j, m), t);
            vf route = multiply(g, f.gate, f.value);
            y += p ? splat(p[i]) * route : route;
          }
      }
      store(a + row * width + j, y, m);
    }
  }
}

static void combine_backward(cmglu_gating gating, cmglu_activation g, int64_t masks, int64_t width,
                             const float *streams, const float *routes, const float *da,
                             float *dstreams, float *droutes, int64_t begin, int64_t end) {
  const int64_t count = stream_count(gating, masks);
  for (int64_t row = begin; row < end; row++) {
    const float *x = streams + row * count * width, *last = x + (count - 1) * width;
    float *dx = dstreams + row * count * width, *dlast = dx + (count - 1) * width;
    const float *p = routes ? routes + row * masks : 0;
    vf route_gradient[16] = {};
    FOR_VECTORS(j, m, width) {
      vf t = load(last + j, m), upstream = load(da + row * width + j, m), dt = {};
      switch (gating) {
        case CMGLU_LINEAR: {
          vf slope;
          activate(g, t, &slope);
          dt = upstream * slope;
          break;
        }
        case CMGLU_SHARED: {
          product f = {.gate = t, .value = t};
          multiply_backward(g, upstream, &f);
          dt = f.dgate + f.dvalue;
          break;
        }
        case CMGLU_GATED: {
          product f = {.gate = load(x + j, m), .value = t};
          multiply_backward(g, upstream, &f);
          store(dx + j, f.dgate, m);
          dt = f.dvalue;
          break;
        }
        default:
          for (int64_t i = 0; i < masks; i++) {
            product f = masked_product(gating, load(x + i * width + j, m), t);
            multiply_backward(g, upstream, &f);
            if (p) {
              route_gradient[i] += f.dvalue * f.value;
              f.dgate *= splat(p[i]);
              f.dvalue *= splat(p[i]);
            }
            vf ds = {};  // E_i, with dt gathering F
            if (gating == CMGLU_NO_GATE_MASK) dt += f.dgate; else ds += f.dgate;
            dt += f.dvalue;
            if (gating != CMGLU_NO_VALUE_MASK) ds -= f.dvalue;
            store(dx + i * width + j, ds, m);
          }
      }
      store(dlast + j, dt, m);
    }
    if (p)
      for (int64_t i = 0; i < masks; i++) droutes[row * masks + i] = sum(route_gradient[i]);
  }
}

static void stack_masked(const float *w, const float *logits, float *stack, int64_t masks,
                         int64_t size, int64_t begin, int64_t end) {
  FOR_VECTORS(j, m, end - begin) {
    const int64_t k = begin + j;
    vf weight = load(w + k, m);
    for (int64_t i = 0; i < masks; i++)
      store(stack + i * size + k, masked(load(logits + i * size + k, m), weight), m);
    store(stack + masks * size + k, weight, m);
  }
}

static void unstack_gradient(const float *w, const float *logits, const float *dstack, float *dw,
                             float *dlogits, bool accumulates, int64_t masks, int64_t size,
                             int64_t begin, int64_t end) {
  FOR_VECTORS(j, m, end - begin) {
    const int64_t k = begin + j;
    vf weight = load(w + k, m);
    vf total = load(dstack + masks * size + k, m);
    if (accumulates) total = load(dw + k, m) + total;
    for (int64_t i = 0; i < masks; i++) {
      const int64_t at = i * size + k;
      vf gradient = load(dstack + at, m);
      total += masked(load(logits + at, m), gradient);
      if (!dlogits) continue;
      gradient *= weight;
      store(dlogits + at, accumulates ? load(dlogits + at, m) + gradient : gradient, m);
    }
    store(dw + k, total, m);
  }
}

static void route(const float *logits, float *routes, int64_t masks, int64_t k, int64_t begin,
                  int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const float *r = logits + row * masks;
    float *p = routes + row * masks, total = 0, top = -INFINITY;
    for (int64_t i = 0; i < masks; i++) top = r[i] > top ? r[i] : top;
    for (int64_t i = 0; i < masks; i++) {
      int64_t rank = 0;  // how many routes come before this one
      for (int64_t o = 0; o < masks; o++) rank += r[o] > r[i] || (r[o] == r[i] && o < i);
      total += p[i] = rank < k ? expf(r[i] - top) : 0;
    }
    for (int64_t i = 0; i < masks; i++) p[i] /= total;
  }
}

static void route_backward(const float *routes, const float *droutes, float *dlogits,
                           int64_t masks, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; row++) {
    const float *p = routes + row * masks, *dp = droutes + row * masks;
    float mean = 0;
    for (int64_t i = 0; i < masks; i++) mean += p[i] * dp[i];
    for (int64_t i = 0; i < masks; i++) dlogits[row * masks + i] = p[i] * (dp[i] - mean);
  }
}
