/// Compiled kernels on disk, so that a program compiles each once for each machine, and the algorithms of
/// products that were measured to be the fastest.
///
/// Entries are named by the digest of what they are made from, and hold that of their content: one that
/// is cut short or damaged counts as missing. A folder that cannot be written is no error, only
/// slow. What others could have written is neither read nor run: folder and entries must be the user's own.
package struct KernelCache: Sendable {
  /// Where entries lie, or `nil` for no cache.
  package let folder: String?

  /// A cache in `folder`.
  package init(folder: String?) { self.folder = folder }

  /// The user's: in `MGLU_CACHE_DIR`, else `swift-mglu` in `XDG_CACHE_HOME` or `~/.cache`.
  package static var standard: KernelCache { standard(Environment.value) }

  package static func standard(_ environment: (String) -> String?) -> KernelCache {
    if let folder = environment("MGLU_CACHE_DIR") { return KernelCache(folder: folder) }
    let caches =
      // The specification has relative paths ignored.
      environment("XDG_CACHE_HOME").flatMap { $0.hasPrefix("/") ? $0 : nil }
      ?? environment("HOME").map { $0 + "/.cache" }
    return KernelCache(folder: caches.map { $0 + "/swift-mglu" })
  }

  /// What a compiled kernel depends on.
  package struct Key: Sendable, Equatable {
    /// The hash, as a name.
    package let name: String

    /// The key of a compilation.
    package init(
      _ source: KernelSource, architecture: CUDAArchitecture, options: [String],
      compiler: (major: Int, minor: Int)
    ) {
      var hash = SHA256()
      let texts =
        [source.text, "\(architecture)", "\(compiler.major).\(compiler.minor)"]
        + source.included.map(\.text)
      for text in texts + options { hash.update(field: text) }
      name = "\(source.name)-\(architecture)-\(hash.hexadecimal)"
    }

    /// The key of the algorithm of a product, which library, GPU and shape make up `text`.
    init(product text: String) {
      var hash = SHA256()
      hash.update(field: text)
      name = "product-\(hash.hexadecimal)"
    }
  }

  private static let magic = Array("MGLUKRN2".utf8)
  /// Magic, the image's size as a little-endian number of 8 bytes, and its SHA-256.
  private static let headerByteCount = 48

  private static func header(_ image: [UInt8]) -> [UInt8] {
    let size = UInt64(image.count)
    var hash = SHA256()
    hash.update(image)
    return magic + (0..<8).map { UInt8(truncatingIfNeeded: size >> (8 * $0)) } + hash.digest
  }

  /// Why the folder is not used, if it is not: others can write to it. One that does not exist yet is.
  package var problem: FileError? {
    guard let folder, Folder.kind(of: folder) != nil else { return nil }
    do throws(FileError) { try Folder.requireOwn(folder) } catch { return error }
    return nil
  }

  private func path(_ key: Key) -> String? { folder.map { "\($0)/\(key.name)" } }

  /// The image stored under `key`, whole and undamaged, or `nil`.
  package func image(_ key: Key) -> [UInt8]? {
    guard let path = path(key), problem == nil,
      let bytes = (try? MappedFile(path: path, isOwn: true))?.contents
    else { return nil }
    let image = Array(bytes.dropFirst(Self.headerByteCount))
    return bytes.prefix(Self.headerByteCount).elementsEqual(Self.header(image)) ? image : nil
  }

  /// Stores an image where that is possible.
  package func store(_ image: [UInt8], _ key: Key) {
    guard let folder, let path = path(key) else { return }
    do {
      try Folder.create(folder)
      try Folder.requireOwn(folder)
      try AtomicFile.write(Self.header(image) + image, to: path)
    } catch {
      // The next process compiles again.
    }
  }

  /// The image of a source for an architecture: from the cache, else compiled and stored.
  package func image(
    of source: KernelSource, for architecture: CUDAArchitecture, options: [String] = [],
    compiler: NVRTC
  ) throws(CUDAError) -> [UInt8] {
    let key = Key(
      source, architecture: architecture, options: NVRTC.options + options,
      compiler: compiler.version)
    if let image = image(key) { return image }
    let image = try compiler.compile(source, for: architecture, options: options).image
    store(image, key)
    return image
  }
}

extension CUDAContext {
  /// The kernels of an embedded source, compiled for this GPU or taken from the cache.
  ///
  /// `options` are NVRTC's, such as `-DMASKS=4`.
  public func module(
    source name: String, options: [String] = []
  ) throws(CUDAError) -> CUDAModule {
    let source = try KernelSource.named(name)
    return try module(source, options: options)
  }

  package func module(
    _ source: KernelSource, options: [String] = [], cache: KernelCache = .standard
  ) throws(CUDAError) -> CUDAModule {
    let compiler = try NVRTC.shared()
    var architecture = try CUDAArchitecture.best(
      for: device.capability, supported: compiler.supported)
    // Machine code of an older generation runs on no newer one.
    if device.standsForOlder {
      architecture = CUDAArchitecture(architecture.capability, isVirtual: true)
    }
    let image = try cache.image(
      of: source, for: architecture, options: options, compiler: compiler)
    return try CUDAModule(image: image, name: "\(source.name) (\(architecture))", on: self)
  }
}
