import MGLUModel
import MGLUReference
import MGLUTestSupport
import Testing

/// Decoders for inference against the float64 reference over the same, widened weights.
@Suite struct InferenceModelTests {
  static let units = ModelFolderTests.units

  /// Exact inputs differ from float64 by rounding in float32 alone. Narrow inputs keep 8 bits, or
  /// 1/127 of the largest of 32; three layers pass the errors of some 20 products on.
  static func bound(_ type: WeightType, _ precision: InputPrecision) -> Double {
    switch (type, precision) {
    case (.bfloat16, .reduced): 2e-2
    case (.int8, .reduced): 5e-2
    default: 1e-5
    }
  }

  @Test(arguments: units, WeightType.allCases)
  func convertedFilesComputeWhatTheirWeightsSay(
    unit: FeedForwardUnitKind, type: WeightType
  ) throws {
    try withTemporaryFolder { folder in
      let backend = try CPUBackend(threads: 2)
      let source = try LlamaExportTests.model(unit, tied: type != .float16)
      try ModelFolder.save(source, to: folder + "/a")
      let written = try ModelFolder.convertForInference(
        folder + "/a", weights: type, to: folder + "/b", on: backend)
      #expect(written == source.configuration)
      // The same file, widened: what evaluate and inspect see.
      let wide = try ModelFolder.load(folder + "/b", on: backend)
      #expect(wide.gateShares == source.gateShares)
      let expected = ReferenceModel(wide).logits(LlamaExportTests.tokens, length: 29)
      for precision in InputPrecision.allCases {
        let opened = try ModelFolder.loadForInference(
          folder + "/b", precision: precision, on: backend)
        #expect(opened.weightType == type)
        let error = relativeError(
          ReferenceMatrix(try opened.logits(after: LlamaExportTests.tokens)),
          expected.rows(28..<29))
        #expect(error < Self.bound(type, precision), "\(precision): \(error)")
        // Narrow weights must matter, or the file was not read.
        let made = try InferenceModel(source, weights: type, precision: precision)
        #expect(
          try made.logits(after: LlamaExportTests.tokens).array
            == opened.logits(after: LlamaExportTests.tokens).array)
      }
    }
  }

  @Test func narrowWeightsTakeLessSpaceAndChangeLittle() throws {
    let model = try LlamaExportTests.model(.mglu(.init(count: 4)))
    let exact = ReferenceMatrix(
      try InferenceModel(model).logits(after: LlamaExportTests.tokens))
    var bytes = Int.max
    // A weight keeps 11, 8 or about 7 bits.
    for (type, bound) in [
      (WeightType.float32, 1e-9), (.float16, 2e-3), (.bfloat16, 2e-2), (.int8, 5e-2),
    ] {
      let narrow = try InferenceModel(model, weights: type)
      let logits = ReferenceMatrix(try narrow.logits(after: LlamaExportTests.tokens))
      #expect(relativeError(logits, exact) <= bound, "\(type)")
      #expect(type == .float32 || logits.elements != exact.elements)
      #expect(narrow.byteCountPerToken <= bytes)
      bytes = narrow.byteCountPerToken
    }
  }

  /// Whatever is cut off or exchanged in an inference file is refused, and nothing traps.
  @Test func damagedInferenceFilesAreRefused() throws {
    try withTemporaryFolder { folder in
      let backend = try CPUBackend(threads: 1)
      try ModelFolder.save(
        try LlamaExportTests.model(.mglu(.init(count: 3))), to: folder + "/a")
      _ = try ModelFolder.convertForInference(
        folder + "/a", weights: .int8, to: folder + "/b", on: backend)
      let path = folder + "/b/model.safetensors"
      let file = try SafeTensors(path: path)
      let bytes = try MappedFile(path: path).contents
      func isRefused(_ damaged: [UInt8]) throws {
        try Folder.remove(path)
        try AtomicFile.write(damaged, to: path)
        #expect(throws: CheckpointError.self) {
          try ModelFolder.loadForInference(folder + "/b", on: backend)
        }
      }
      for length in [0, 7, 100, bytes.count / 2, bytes.count - 1] {
        try isRefused(Array(bytes.prefix(length)))
      }
      let text = String(decoding: bytes[8..<file.entries[0].byteRange.lowerBound], as: UTF8.self)
      for (old, new) in [
        ("\"U8\",\"shape\":[3,31,3]", "\"U8\",\"shape\":[3,3,31]"),
        ("\"U8\",\"shape\":[3,31,3]", "\"I8\",\"shape\":[3,31,3]"),
        ("mlp.masks", "mlp.maskz"),
        ("o_proj.weight_scale", "o_proj.weight_scalx"),
        ("\"F16\",\"shape\":[41,1]", "\"F16\",\"shape\":[1,41]"),
        ("\"F16\",\"shape\":[41,1]", "\"I16\",\"shape\":[41,1]"),
      ] {
        try #require(text.contains(old), "\(old) is not in \(text)")
        let parts = text.split(separator: old, maxSplits: 1)
        try isRefused(
          bytes.prefix(8) + Array((parts[0] + new + parts[1]).utf8)
            + bytes[file.entries[0].byteRange.lowerBound...])
      }
      try AtomicFile.write(bytes, to: path)
      _ = try ModelFolder.loadForInference(folder + "/b", on: backend)
    }
  }
}

extension InferenceModel {
  /// The logits `[1, V]` that follow `tokens`.
  fileprivate func logits(after tokens: [Int32]) throws -> Tensor {
    let session = InferenceSession(self)
    return try session.append(tokens, to: session.open())
  }
}
