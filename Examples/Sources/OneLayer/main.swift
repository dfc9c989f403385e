// One SwiMGLU layer of two masks: forward, backward, a step, and the same over narrow weights.
//
//     swift run OneLayer
import MGLU

let (rows, h, d) = (8, 64, 128)
let backend = try CPUBackend()
let layer = try MaskedGatedLinearUnit(
  hiddenSize: h, intermediateSize: d, masks: 2, seed: 1, on: backend)

// Everything that a step needs is laid out once.
let (x, dX, saved, scratch) = backend.allocate { memory in
  (
    memory.tensor([rows, h]), memory.tensor([rows, h]),
    FeedForwardActivations(layer.configuration, rows: rows, in: &memory),
    StackScratch(layer.configuration, forTraining: true, in: &memory)
  )
}
var random = Philox(seed: 1, purpose: .synthetic)
x.assign((0..<x.count).map { _ in random.nextNormal() })
// Gradients lie as the parameters do.
let gradients = Gradients(of: layer, on: backend)
layer.forward(x, saving: saved, scratch: scratch, on: backend)
print("outputs:", saved.output.array.prefix(3))
// The gradient of half the sum of squares is the output itself.
layer.backward(
  saved.output, x: x, saved: saved, xGradient: dX, gradients: gradients, scratch: scratch,
  on: backend)
let w = layer.weight
w.assign(zip(w.array, gradients[w].array).map { $0 - 0.01 * $1 })
print("after a step:", layer(x, on: backend).array.prefix(3))
let narrow = FusedFeedForward(layer, weights: .bfloat16, on: backend)
print("the same in BF16:", try narrow(x, on: backend).array.prefix(3))
