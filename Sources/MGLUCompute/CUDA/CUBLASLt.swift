import CMGLUKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// NVIDIA's matrix products, found on this machine. `MGLU_CUBLASLT` names another file.
package final class CUBLASLt: Sendable {
  /// Its version: 130002 is 13.0.2.
  package let version: Int
  /// The library's file.
  package let path: String
  let functions: cmglu_lt

  static let wheels = ["nvidia/cu13/lib", "nvidia/cublas/lib"]

  /// The library of this process.
  package static func shared() throws(CUDAError) -> CUBLASLt { try found.get() }

  private static let found: Result<CUBLASLt, CUDAError> = Result { () throws(CUDAError) in
    try CUBLASLt()
  }

  private init() throws(CUDAError) {
    let library: SharedLibrary
    do throws(LibraryError) {
      library = try SharedLibrary(
        "cuBLASLt",
        anyOf: LibrarySearch().candidates(
          "libcublasLt.so", driverMajor: CUDADriver.major, wheels: Self.wheels),
        override: "MGLU_CUBLASLT", having: "cublasLtMatmul")
    } catch {
      throw CUDAError(.noProducts, error.message, remedy: CUDAProblem.noProducts.remedy)
    }
    var functions = cmglu_lt()
    if let missing = cmglu_lt_load(
      &functions, { library, name in name.flatMap { dlsym(library, $0) } }, library.handle)
    {
      throw CUDAError(
        .noProducts, "\(library.path) lacks \(String(cString: missing))",
        remedy: CUDAProblem.noProducts.remedy)
    }
    version = functions.cublasLtGetVersion()
    path = library.path
    self.functions = functions
  }

  /// Throws what a status other than success means.
  func check(_ status: Int32, _ call: @autoclosure () -> String) throws(CUDAError) {
    guard status != 0 else { return }
    let name = functions.cublasLtGetStatusName(status).map { String(cString: $0) } ?? "\(status)"
    throw CUDAError(.product, "\(call()): \(name)")
  }
}
