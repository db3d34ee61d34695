import Foundation

/// An nginx that serves a folder on a port of this machine, for as long as this value lives.
public final class Nginx: Sendable {
  public let port: Int
  private let directory: TemporaryDirectory
  private let process: Process

  /// The installed nginx; nil without one.
  public static let path: String? = [
    "/usr/sbin/nginx", "/usr/bin/nginx", "/opt/homebrew/bin/nginx", "/usr/local/bin/nginx",
  ]
  .first { FileManager.default.isExecutableFile(atPath: $0) }

  public init(serving folder: String) throws {
    let directory = try TemporaryDirectory()
    self.directory = directory
    let (descriptor, port) = try HTTPSocket.listen()
    close(descriptor)
    self.port = port
    let user = getuid() == 0 ? "user root;" : ""
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map { "\($0)_temp_path \(directory.path($0));" }.joined(separator: " ")
    try """
    \(user)
    worker_processes 1;
    pid \(directory.path("pid"));
    error_log \(directory.path("error.log"));
    events { worker_connections 256; }
    http {
      access_log off;
      \(paths)
      server { listen 127.0.0.1:\(port); location / { root \(folder); } }
    }
    """.write(toFile: directory.path("nginx.conf"), atomically: true, encoding: .utf8)
    process = Process()
    process.executableURL = URL(filePath: Self.path ?? "nginx")
    process.arguments = [
      "-p", directory.path(""), "-c", directory.path("nginx.conf"), "-e", directory.path("error.log"), "-g",
      "daemon off;",
    ]
    process.standardError = FileHandle.nullDevice
    try process.run()
    for _ in 0..<200 {
      if let descriptor = try? HTTPSocket.connect(port: port) {
        close(descriptor)
        return
      }
      Thread.sleep(forTimeInterval: 0.05)
    }
    throw SocketError(code: ETIMEDOUT)
  }

  deinit {
    process.terminate()
    process.waitUntilExit()
  }
}
