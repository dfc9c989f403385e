// One SwiMGLU layer of two masks: forward, backward, a step, and the same over narrow weights.
//
//     swift run OneLayer
import MGLU

let (rows, h, d) = (8, 64, 128)
let backend = try CPUBackend()
let (w, l) = backend.allocate { ($0.tensor([d, h]), $0.tensor([2, d, h])) }
var random = Philox(seed: 1, purpose: .initialization)
w.assign((0..<w.count).map { _ in random.nextNormal() / 8 })
l.assign((0..<l.count).map { _ in random.nextNormal() / 100 })
let layer = MaskedGatedLinearUnit(weight: w, maskLogits: l, activation: .silu)

// Everything that a step needs is laid out once.
let (x, dX, saved, scratch) = backend.allocate { memory in
  (
    memory.tensor([rows, h]), memory.tensor([rows, h]),
    FeedForwardActivations(layer.configuration, rows: rows, in: &memory),
    StackScratch(layer.configuration, forTraining: true, in: &memory)
  )
}
x.assign((0..<x.count).map { _ in random.nextNormal() })
// Gradients lie as the parameters do.
let gradients = Gradients(
  arena: backend.allocate { ($0.tensor([d, h]), $0.tensor([2, d, h])).0 }.arena)
layer.forward(x, saving: saved, scratch: scratch, on: backend)
print("outputs:", saved.output.array.prefix(3))
// The gradient of half the sum of squares is the output itself.
layer.backward(
  saved.output, x: x, saved: saved, xGradient: dX, gradients: gradients, scratch: scratch,
  on: backend)
w.assign(zip(w.array, gradients[w].array).map { $0 - 0.01 * $1 })
print("after a step:", layer(x, on: backend).array.prefix(3))
let narrow = FlashMGLU(layer, weights: .bfloat16, on: backend)
print("the same in BF16:", try narrow(x, on: backend).array.prefix(3))
