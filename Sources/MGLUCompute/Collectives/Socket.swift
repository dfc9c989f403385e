#if canImport(Glibc)
  import Glibc
  private let streamType = Int32(SOCK_STREAM.rawValue)
  private let sendFlags = Int32(MSG_NOSIGNAL)
#elseif canImport(Musl)
  import Musl
  private let streamType = SOCK_STREAM
  private let sendFlags = MSG_NOSIGNAL
#else
  import Darwin
  private let streamType = SOCK_STREAM
  private let sendFlags: Int32 = 0
#endif

/// A TCP connection or a listener, closed when its owner goes. No call waits; ``wait(_:milliseconds:)``
/// does.
final class Socket: @unchecked Sendable {
  /// What became of a read or a write.
  enum Moved {
    case bytes(Int)
    case notReady
    case ended
  }

  let descriptor: Int32

  /// Takes over a descriptor.
  init(_ descriptor: Int32) {
    self.descriptor = descriptor
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    set(Int32(IPPROTO_TCP), TCP_NODELAY)
    #if canImport(Darwin)
      set(SOL_SOCKET, SO_NOSIGPIPE)
    #endif
  }

  deinit { close(descriptor) }

  private func set(_ level: Int32, _ option: Int32) {
    var one: Int32 = 1
    _ = setsockopt(descriptor, level, option, &one, socklen_t(MemoryLayout<Int32>.size))
  }

  /// The first socket that `body` makes of an address of `host`.
  private static func first(
    _ host: String, _ port: Int, _ body: (Socket, addrinfo) -> Bool
  ) -> Socket? {
    var hints = addrinfo()
    hints.ai_socktype = streamType
    var list: UnsafeMutablePointer<addrinfo>?
    guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return nil }
    defer { freeaddrinfo(list) }
    var next = list
    while let info = next {
      let descriptor = socket(info.pointee.ai_family, streamType, 0)
      if descriptor >= 0 {
        let socket = Socket(descriptor)
        if body(socket, info.pointee) { return socket }
      }
      next = info.pointee.ai_next
    }
    return nil
  }

  /// A listener at `port`, 0 for any that is free, of an address of this machine; or the reason why
  /// there is none.
  static func listening(on host: String, port: Int) -> Result<Socket, CommunicationError> {
    var reason = "no such address"
    let socket = first(host, port) { socket, info in
      socket.set(SOL_SOCKET, SO_REUSEADDR)
      if bind(socket.descriptor, info.ai_addr, info.ai_addrlen) == 0,
        listen(socket.descriptor, 1024) == 0
      {
        return true
      }
      reason = String(cString: strerror(errno))
      return false
    }
    return socket.map { .success($0) }
      ?? .failure(
        CommunicationError(.rendezvous, "rank 0 cannot listen at \(host):\(port): \(reason)"))
  }

  /// A connection, if it is made within some milliseconds.
  static func connected(to host: String, port: Int, milliseconds: Int) -> Socket? {
    first(host, port) { socket, info in
      if connect(socket.descriptor, info.ai_addr, info.ai_addrlen) == 0 { return true }
      guard errno == EINPROGRESS || errno == EINTR else { return false }
      guard wait([(socket, POLLOUT)], milliseconds: milliseconds)[0] else { return false }
      var (error, size) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
      return getsockopt(socket.descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0
    }
  }

  /// A connection that somebody has made to this listener.
  func accepted() -> Socket? {
    let descriptor = accept(self.descriptor, nil, nil)
    return descriptor >= 0 ? Socket(descriptor) : nil
  }

  /// Where each of two ends is: an address in digits and a port.
  private func end(
    _ call: (Int32, UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
  ) -> (address: String, port: Int) {
    var (storage, size) = (sockaddr_storage(), socklen_t(MemoryLayout<sockaddr_storage>.size))
    var host = [CChar](repeating: 0, count: 128)
    var service = [CChar](repeating: 0, count: 32)
    withUnsafeMutablePointer(to: &storage) { storage in
      storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
        guard call(descriptor, address, &size) == 0 else { return }
        _ = getnameinfo(
          address, size, &host, socklen_t(host.count), &service, socklen_t(service.count),
          NI_NUMERICHOST | NI_NUMERICSERV)
      }
    }
    func text(_ bytes: [CChar]) -> String {
      String(decoding: bytes.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
    }
    return (text(host), Int(text(service)) ?? 0)
  }

  /// This end.
  var own: (address: String, port: Int) { end { getsockname($0, $1, $2) } }
  /// The other end.
  var peer: (address: String, port: Int) { end { getpeername($0, $1, $2) } }

  /// Reads what is there.
  func read(into buffer: UnsafeMutableRawBufferPointer) -> Moved {
    Self.moved(recv(descriptor, buffer.baseAddress, buffer.count, 0), zeroEnds: true)
  }

  /// Writes what there is room for.
  func write(_ buffer: UnsafeRawBufferPointer) -> Moved {
    Self.moved(send(descriptor, buffer.baseAddress, buffer.count, sendFlags), zeroEnds: false)
  }

  /// Says that nothing more will be written.
  func finishWriting() { _ = shutdown(descriptor, Int32(SHUT_WR)) }

  private static func moved(_ count: Int, zeroEnds: Bool) -> Moved {
    if count > 0 || count == 0 && !zeroEnds { return .bytes(count) }
    let code = errno
    return count < 0 && (code == EAGAIN || code == EWOULDBLOCK || code == EINTR)
      ? .notReady : .ended
  }

  /// Waits until one of the sockets is ready for what is asked of it, or has ended, and says which are.
  static func wait(_ sockets: [(Socket, Int32)], milliseconds: Int) -> [Bool] {
    var polls = sockets.map {
      pollfd(descriptor: $0.0.descriptor, events: Int16(truncatingIfNeeded: $0.1))
    }
    _ = poll(&polls, nfds_t(polls.count), Int32(clamping: milliseconds))
    return polls.map { $0.revents != 0 }
  }
}

extension pollfd {
  init(descriptor: Int32, events: Int16) { self.init(fd: descriptor, events: events, revents: 0) }
}
