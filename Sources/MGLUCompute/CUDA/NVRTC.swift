import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// NVIDIA's run-time compiler, found on this machine: CUDA C++ in, machine code out. It needs no
/// GPU and no driver.
///
/// `MGLU_NVRTC` names another file.
package final class NVRTC: Sendable {
  /// What a compilation gives.
  package struct Program: Sendable {
    /// A cubin, or PTX where the architecture is virtual.
    package let image: [UInt8]
    /// What the compiler had to say.
    package let log: String
  }

  /// Its version: (13, 0).
  package let version: (major: Int, minor: Int)
  /// The library's file.
  package let path: String
  /// The GPUs that it compiles for, oldest first.
  package let supported: [CUDACapability]
  private let functions: cmglu_nvrtc

  /// The compiler of this process.
  package static func shared() throws(CUDAError) -> NVRTC { try found.get() }

  private static let found: Result<NVRTC, CUDAError> = Result { () throws(CUDAError) in
    try NVRTC(driverMajor: CUDADriver.major)
  }

  /// Opens the first that is found: a driver takes cubins of its own version and earlier ones.
  private init(driverMajor: Int?) throws(CUDAError) {
    let candidates = LibrarySearch().candidates(
      "libnvrtc.so", driverMajor: driverMajor, wheels: Self.wheels)
    let library: SharedLibrary
    do throws(LibraryError) {
      library = try SharedLibrary(
        "NVRTC", anyOf: candidates, override: "MGLU_NVRTC", having: "nvrtcGetCUBIN")
    } catch {
      throw CUDAError(.noCompiler, error.message, remedy: CUDAProblem.noCompiler.remedy)
    }
    var functions = cmglu_nvrtc()
    if let missing = cmglu_nvrtc_load(
      &functions, { library, name in name.flatMap { dlsym(library, $0) } }, library.handle)
    {
      throw CUDAError(
        .noCompiler, "\(library.path) lacks \(String(cString: missing))",
        remedy: CUDAProblem.noCompiler.remedy)
    }
    // The compiler opens its builtins by name alone, and finds a file that is open already: its
    // own folder is none of the places that the system searches when it lies in a wheel.
    for file in LibrarySearch.matches(
      of: Folder.parent(of: library.path) + "/libnvrtc-builtins.so.*")
    { _ = dlopen(file, RTLD_NOW | RTLD_LOCAL) }
    var (major, minor, count): (Int32, Int32, Int32) = (0, 0, 0)
    _ = functions.nvrtcVersion(&major, &minor)
    _ = functions.nvrtcGetNumSupportedArchs(&count)
    var architectures = [Int32](repeating: 0, count: Int(count))
    _ = functions.nvrtcGetSupportedArchs(&architectures)
    self.functions = functions
    path = library.path
    version = (Int(major), Int(minor))
    supported = architectures.map { CUDACapability(Int($0) / 10, Int($0) % 10) }.sorted()
  }

  /// Where wheels put it: CUDA 13's, and CUDA 12's.
  static let wheels = ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"]

  /// Compiles a source. All that it may include are other sources of this package.
  ///
  /// - Throws: ``CUDAProblem/compilation`` with the first errors of the compiler's log.
  package func compile(
    _ source: KernelSource, for architecture: CUDAArchitecture, options: [String] = []
  ) throws(CUDAError) -> Program {
    var program: OpaquePointer?
    let headers = source.included
    let headerTexts = headers.map { strdup($0.text) }
    let headerNames = headers.map { strdup($0.fileName) }
    defer { for text in headerTexts + headerNames { free(text) } }
    try check(
      functions.nvrtcCreateProgram(
        &program, source.text, source.fileName, Int32(headers.count),
        headerTexts.map { UnsafePointer($0) }, headerNames.map { UnsafePointer($0) }),
      "nvrtcCreateProgram", source)
    defer { _ = functions.nvrtcDestroyProgram(&program) }
    let all = Self.options + ["--gpu-architecture=\(architecture)"] + options
    let texts = all.map { strdup($0) }
    defer { for text in texts { free(text) } }
    let result = texts.map { UnsafePointer($0) }.withUnsafeBufferPointer {
      functions.nvrtcCompileProgram(program, Int32($0.count), $0.baseAddress)
    }
    let logBytes = try bytes(
      functions.nvrtcGetProgramLogSize, functions.nvrtcGetProgramLog, of: program, source)
    let log = String(decoding: logBytes.prefix { $0 != 0 }, as: UTF8.self)
    try check(result, "nvrtcCompileProgram", source, architecture, log: log)
    let image =
      architecture.isVirtual
      ? try bytes(functions.nvrtcGetPTXSize, functions.nvrtcGetPTX, of: program, source)
      : try bytes(functions.nvrtcGetCUBINSize, functions.nvrtcGetCUBIN, of: program, source)
    return Program(image: image, log: log)
  }

  /// Options of every compilation.
  package static let options = ["--std=c++20"]

  private func bytes(
    _ size: (OpaquePointer?, UnsafeMutablePointer<Int>?) -> Int32,
    _ get: (OpaquePointer?, UnsafeMutablePointer<CChar>?) -> Int32,
    of program: OpaquePointer?, _ source: KernelSource
  ) throws(CUDAError) -> [UInt8] {
    var count = 0
    try check(size(program, &count), "size of NVRTC's result", source)
    var result: [CChar] = Array(repeating: 0, count: count)
    try check(get(program, &result), "NVRTC's result", source)
    return result.map(UInt8.init(bitPattern:))
  }

  private func check(
    _ result: Int32, _ call: String, _ source: KernelSource,
    _ architecture: CUDAArchitecture? = nil, log: String = ""
  ) throws(CUDAError) {
    guard result != 0 else { return }
    let name = functions.nvrtcGetErrorString(result).map { String(cString: $0) } ?? "\(result)"
    let lines = log.split(separator: "\n")
    let errors = lines.filter { line in
      line.split(separator: " ").contains { $0.hasPrefix("error") }
    }
    let shown = (errors.isEmpty ? lines : errors).prefix(4).map(String.init)
    throw CUDAError(
      .compilation,
      (["\(call) of \(source.name).cu\(architecture.map { " for \($0)" } ?? ""): \(name)"] + shown)
        .joined(separator: "\n"))
  }
}
