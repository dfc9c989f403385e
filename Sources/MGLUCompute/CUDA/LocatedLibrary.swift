/// A library of NVIDIA's, or a BLAS, as it was found on this machine or not, for reports.
package struct LocatedLibrary: Sendable {
  /// What it is called.
  package let name: String
  /// What this package uses it for.
  package let purpose: String
  /// Its file and version, or why it cannot be used.
  package let state: Result<Found, Missing>

  /// A library that can be opened.
  package struct Found: Sendable {
    /// The file.
    package let path: String
    /// The version, where the library tells it.
    package let version: String?
  }

  /// Why a library cannot be used, and what to do.
  package struct Missing: Error, Sendable {
    /// What was found and tried.
    package let message: String
    /// How to install it.
    package let remedy: String?
  }

  /// Looks for every library that this package may open. Nothing is kept from one call to the next
  /// but what the process has loaded.
  package static func all() -> [LocatedLibrary] {
    [blas(), driver(), compiler(), cuBLASLt(), nccl()]
  }

  private static func blas() -> LocatedLibrary {
    let remedy =
      "install OpenBLAS (apt-get install libopenblas0-pthread, brew install openblas) or name a "
      + "library in MGLU_BLAS"
    let state: Result<Found, Missing>
    do throws(LibraryError) {
      let found = try BLAS.find().map { Found(path: $0.path, version: nil) }
      state =
        found.map { .success($0) }
        ?? .failure(Missing(message: "MGLU_BLAS says to use none", remedy: remedy))
    } catch {
      state = .failure(
        Missing(message: "\(error.message): the built-in product is slower", remedy: remedy))
    }
    return LocatedLibrary(name: "BLAS", purpose: "matrix products on the CPU", state: state)
  }

  private static func driver() -> LocatedLibrary {
    LocatedLibrary(
      name: "NVIDIA driver", purpose: "computing on NVIDIA GPUs",
      state: CUDADriver.opened.map { driver in
        Found(path: driver.path, version: "CUDA \(driver.versionName)")
      }.mapError(Missing.init))
  }

  private static func compiler() -> LocatedLibrary {
    LocatedLibrary(
      name: "NVRTC", purpose: "compiling kernels for the GPU found",
      state: Result { () throws(CUDAError) in
        let compiler = try NVRTC.shared()
        return Found(
          path: compiler.path, version: "\(compiler.version.major).\(compiler.version.minor)")
      }.mapError(Missing.init))
  }

  private static func cuBLASLt() -> LocatedLibrary {
    LocatedLibrary(
      name: "cuBLASLt", purpose: "matrix products on the GPU, for training",
      state: Result { () throws(CUDAError) in
        let library = try CUBLASLt.shared()
        return Found(path: library.path, version: dotted(library.version))
      }.mapError(Missing.init))
  }

  private static func nccl() -> LocatedLibrary {
    LocatedLibrary(
      name: "NCCL", purpose: "training on several GPUs",
      state: Result { () throws(CommunicationError) in
        let library = try NCCL.shared()
        return Found(path: library.path, version: dotted(library.version))
      }.mapError { Missing(message: $0.message, remedy: $0.remedy) })
  }

  /// A version is major 10000, minor 100 and patch 1 added up.
  private static func dotted(_ version: Int) -> String {
    "\(version / 10_000).\(version / 100 % 100).\(version % 100)"
  }
}

extension LocatedLibrary.Missing {
  fileprivate init(_ error: CUDAError) {
    self.init(message: error.message, remedy: error.remedy)
  }
}
