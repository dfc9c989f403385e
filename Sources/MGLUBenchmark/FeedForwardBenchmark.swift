import MGLUModel
import MGLUReference

/// Times units over cold weights beside the read bandwidth of the same moments.
///
/// Every round times each job once, in an order drawn anew, on the next of several copies of its
/// weights, so that nothing stays in a cache and every ratio compares neighbors in time: machines
/// switch between a fast and a slow memory mode.
package struct FeedForwardBenchmark {
  /// The units to time, once for each weight type and shape.
  package struct Setting: Sendable {
    /// d.
    package var intermediateSize: Int
    /// h.
    package var hiddenSize: Int
    /// Mask counts of the MGLUs.
    package var masks: [Int]
    /// How weights are stored.
    package var weights: WeightType
    /// How much of x the products see.
    package var activations: InputPrecision
    /// Rows of x.
    package var batch: Int
    /// Rounds, after three that do not count.
    package var rounds: Int

    /// Creates a setting.
    package init(
      intermediateSize: Int, hiddenSize: Int, masks: [Int], weights: WeightType,
      activations: InputPrecision, batch: Int, rounds: Int
    ) {
      self.intermediateSize = intermediateSize
      self.hiddenSize = hiddenSize
      self.masks = masks
      self.weights = weights
      self.activations = activations
      self.batch = batch
      self.rounds = rounds
    }
  }

  /// One unit's times.
  package struct Result: Sendable, Encodable {
    package let unit: String
    package let masks: Int
    package let shape: String
    package let weights: String
    package let activations: String
    package let batch: Int
    package let p20Us: Double
    package let p50Us: Double
    package let p80Us: Double
    package let gbPerS: Double
    package let percentOfReadBandwidth: Double
    package let speedupOverGlu: Double
    package let speedupOverNaive: Double?
    package let relativeError: Double
  }

  private struct Job {
    let masks: Int
    let byteCount: Int
    let time: (_ round: Int) throws -> Double
    var times: [Double] = []
  }

  private let setting: Setting
  private let target: BenchmarkTarget
  private let units: [Int: [FusedFeedForward]]
  private let bits: [Int: Tensor]
  private let planes: [StoredMatrix]
  private let input: Tensor
  private let x: Tensor

  private var backend: any InferenceBackend { target.backend }

  /// Copies of W: as many as no cache holds, as long as 64 are enough for that.
  private static func copies(ofBytes bytes: Int, on target: BenchmarkTarget) -> Int {
    max(4, min(64, target.coldByteCount / max(1, bytes)))
  }

  /// Draws weights and masks.
  package init(_ setting: Setting, on target: BenchmarkTarget) throws {
    try target.backend.check(setting.weights)
    try Self.checkMemory(setting, target)
    self.setting = setting
    self.target = target
    let (backend, host) = (target.backend, target.backend.host)
    let (d, h) = (setting.intermediateSize, setting.hiddenSize)
    var random = Philox(seed: 1, purpose: .synthetic)
    let (values, input) = host.allocate { layout in
      (layout.tensor([d, h]), layout.tensor([setting.batch, h]))
    }
    let scale = 2 / Float(h).squareRoot()
    values.withMutableFloats { span in
      for index in span.indices { span[index] = (random.nextUniform() - 0.5) * scale }
    }
    input.withMutableFloats { span in
      for index in span.indices { span[index] = random.nextNormal() }
    }
    let first = host.quantize(values, as: setting.weights)
    let count = Self.copies(ofBytes: first.byteCount, on: target)
    let planes = [first] + (1..<count).map { _ in target.copied(first) }
    var bits: [Int: Tensor] = [:]
    func shape(_ unit: FeedForwardUnitKind) -> FeedForwardConfiguration {
      FeedForwardConfiguration(hiddenSize: h, intermediateSize: d, unit: unit)
    }
    var units: [Int: [FusedFeedForward]] = [
      0: (0..<count / 2).map {
        FusedFeedForward(
          shape(.glu), matrices: [planes[2 * $0], planes[2 * $0 + 1]], on: backend)
      }
    ]
    for masks in Set(setting.masks + [1]) {
      let drawn = host.allocate { $0.tensor([masks, d, (h + 7) / 8], .uint8) }
      let bytes = drawn.bytes
      for index in bytes.indices { bytes[index] = UInt8.random(in: 0...255, using: &random) }
      bits[masks] = drawn
      units[masks] = planes.prefix(masks == 1 ? count : max(6, count / 4)).map {
        FusedFeedForward(
          shape(.mglu(.init(count: masks))), matrices: [$0], masks: drawn, on: backend)
      }
    }
    (self.planes, self.bits, self.units) = (planes, bits, units)
    (self.input, x) = (input, backend.toDevice(input))
    try backend.finish()
  }

  private static func checkMemory(
    _ setting: Setting, _ target: BenchmarkTarget
  ) throws(MemoryError) {
    // In floating point: the product of large sizes may overflow an integer.
    let elements = Double(setting.intermediateSize) * Double(setting.hiddenSize)
    let bytes = elements * Double(setting.weights.dataType.byteCount)
    let copies = copies(ofBytes: Int(min(bytes, 0x1p50)), on: target)
    let bits = setting.masks.reduce(elements / 8) { sum, masks in
      sum + elements / 8 * Double(masks * (1 + max(6, copies / 4)))
    }
    let rows = Double(setting.batch) * Double(2 * setting.hiddenSize + setting.intermediateSize)
    try PhysicalMemory.require(
      8 * elements + bytes * Double(copies) + bits + 4 * rows,
      for: "timing \(setting.intermediateSize)x\(setting.hiddenSize)",
      remedy: "choose smaller shapes, or fewer masks")
  }

  /// Read bandwidth in GB/s, and every unit's times: the GLU first.
  package func run() throws -> (readGBPerS: Double, results: [Result]) {
    let a = backend.allocate { $0.tensor([setting.batch, setting.intermediateSize]) }
    func pass(_ masks: Int, _ copy: Int) {
      let all = units[masks]!
      backend.fusedLinear(
        all[copy % all.count].weights, x, precision: setting.activations, into: a)
    }
    let reading = try target.reading(of: planes.map { [$0.weights] })
    var jobs = [
      Job(masks: -1, byteCount: reading.byteCount, time: reading.microseconds)
    ]
    let counts = [0] + setting.masks
    for masks in counts {
      let timer = try target.timer { pass(masks, $0) }
      jobs.append(Job(masks: masks, byteCount: units[masks]![0].byteCount, time: timer))
    }
    for masks in setting.masks {
      let timer = try target.timer { round in
        for product in 0..<2 * masks { pass(1, round * 7 + product) }
      }
      jobs.append(Job(masks: masks, byteCount: 0, time: timer))
    }
    try time(&jobs)
    let read = jobs[0]
    let glu = jobs[1]
    let results = try counts.indices.map { index in
      let job = jobs[1 + index]
      let naive = index > 0 ? jobs[counts.count + index] : nil
      let times = job.times.sorted()
      return Result(
        unit: index == 0 ? "SwiGLU" : "SwiMGLU", masks: job.masks,
        shape: "\(setting.intermediateSize)x\(setting.hiddenSize)",
        weights: setting.weights.rawValue, activations: setting.activations.rawValue,
        batch: setting.batch, p20Us: times[times.count / 5], p50Us: times[times.count / 2],
        p80Us: times[times.count * 4 / 5], gbPerS: Double(job.byteCount) / times.median / 1e3,
        percentOfReadBandwidth: 100 * Double(job.byteCount) / Double(read.byteCount)
          * medianRatio(read.times, job.times),
        speedupOverGlu: medianRatio(glu.times, job.times),
        speedupOverNaive: naive.map { medianRatio($0.times, job.times) },
        relativeError: try error(masks: counts[index]))
    }
    return (Double(read.byteCount) / read.times.median / 1e3, results)
  }

  private func time(_ jobs: inout [Job]) throws {
    let warmUp = 3
    for round in 0..<setting.rounds + warmUp {
      for index in jobs.indices.shuffled() {
        let time = try jobs[index].time(round)
        if round >= warmUp { jobs[index].times.append(time) }
      }
    }
  }

  private func medianRatio(_ above: [Double], _ below: [Double]) -> Double {
    zip(above, below).map { $0 / $1 }.median
  }

  /// Against float64 over the stored weights, on the first rows of W.
  private func error(masks: Int) throws -> Double {
    let (d, h) = (min(64, setting.intermediateSize), setting.hiddenSize)
    let (host, stored) = (backend.host, units[masks]![0].weights.type)
    let wide = host.allocate { $0.tensor([setting.intermediateSize, h]) }
    host.dequantize(host.converted(planes[0], to: stored), into: wide)
    let a = backend.allocateShared {
      $0.tensor([setting.batch, setting.intermediateSize])
    }
    backend.fusedLinear(units[masks]![0].weights, x, precision: setting.activations, into: a)
    try backend.finish()
    let weight = ReferenceMatrix(wide[0..<d])
    var reference = ReferenceUnit(
      kind: masks == 0 ? .glu : .mglu(.init(count: masks)), activation: .silu,
      weight: weight, valueWeight: masks == 0 ? weight : nil)
    if let bits = bits[masks], masks > 0 {
      reference.masks = (0..<masks).map { mask in
        let logits = host.allocate { $0.tensor([d, h]) }
        let plane = bits[mask..<mask + 1].reshaped([setting.intermediateSize, bits.columns])
        MaskBits.unpack(plane[0..<d], into: logits)
        return ReferenceUnit.mask(ofLogits: ReferenceMatrix(logits))
      }
    }
    return relativeError(
      ReferenceMatrix(a).columns(0..<d), reference(ReferenceMatrix(input)))
  }
}
