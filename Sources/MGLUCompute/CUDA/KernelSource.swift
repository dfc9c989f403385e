import CMGLUKernels

/// A CUDA source of this package, or a header that sources include, embedded in the program.
package struct KernelSource: Sendable, CustomStringConvertible {
  /// The file's name, without `.cu` where it is no header.
  package let name: String
  /// The file's name.
  package var fileName: String { name.hasSuffix(".h") ? name : name + ".cu" }
  /// The text.
  package let text: String

  package var description: String { name }

  /// The embedded sources that this one includes, and those that they include, each once.
  package var included: [KernelSource] {
    let lines = Set(text.split(separator: "\n"))
    let own = Self.all.filter { lines.contains("#include \"\($0.fileName)\"") }
    return own.reduce(into: []) { result, source in
      for one in [source] + source.included where !result.contains(where: { $0.name == one.name }) {
        result.append(one)
      }
    }
  }

  /// A source, such as one that a test made.
  package init(name: String, text: String) { (self.name, self.text) = (name, text) }

  /// Every embedded source.
  package static let all: [KernelSource] = {
    var sources: [KernelSource] = []
    while let entry = cmglu_cuda_source_at(Int32(sources.count))?.pointee {
      let bytes = UnsafeRawBufferPointer(start: entry.source, count: entry.length)
      let file = String(cString: entry.name)
      sources.append(
        KernelSource(
          name: file.hasSuffix(".cu") ? String(file.dropLast(3)) : file,
          text: String(decoding: bytes, as: UTF8.self)))
    }
    return sources
  }()

  /// Those that are compiled by themselves, for no other includes them.
  package static let modules: [KernelSource] = {
    let parts = Set(all.flatMap { $0.included.map(\.name) })
    return all.filter { !parts.contains($0.name) }
  }()

  /// The embedded source of that name.
  package static func named(_ name: String) throws(CUDAError) -> KernelSource {
    guard let source = all.first(where: { $0.name == name }) else {
      throw CUDAError(
        .unknownKernel,
        "there is no kernel source \(name): expected \(all.map(\.name).joined(separator: ", "))")
    }
    return source
  }
}

/// What a kernel is compiled for.
package struct CUDAArchitecture: Sendable, Equatable, CustomStringConvertible {
  /// The GPU's generation.
  package let capability: CUDACapability
  /// Whether the result is PTX, which the driver compiles for a GPU that is newer than NVRTC.
  package let isVirtual: Bool

  /// An architecture.
  package init(_ capability: CUDACapability, isVirtual: Bool = false) {
    self.capability = capability
    self.isVirtual = isVirtual
  }

  /// As NVRTC names it: `sm_80` or `compute_80`. Cubins for Hopper may use what is not in later
  /// generations (`sm_90a`): wgmma.
  package var description: String {
    let number = "\(capability.major)\(capability.minor)"
    return isVirtual
      ? "compute_" + number : "sm_" + number + (capability == CUDACapability(9, 0) ? "a" : "")
  }

  /// The best for a GPU, of what a compiler supports: its own, else PTX of the newest before it.
  ///
  /// - Throws: ``CUDAProblem/unsupportedDevice`` where all that is supported is newer.
  package static func best(
    for capability: CUDACapability, supported: [CUDACapability]
  ) throws(CUDAError) -> CUDAArchitecture {
    if supported.contains(capability) { return CUDAArchitecture(capability) }
    guard let newest = supported.filter({ $0 < capability }).max() else {
      throw CUDAError(
        .unsupportedDevice, "NVRTC no longer compiles for compute capability \(capability)",
        remedy: "install an older NVRTC")
    }
    return CUDAArchitecture(newest, isVirtual: true)
  }
}
