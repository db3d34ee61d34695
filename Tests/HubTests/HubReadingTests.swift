import Checkpoint
import Files
import Foundation
import GGUF
import Hub
import Synchronization
import Tensors
import TestSupport
import Testing

/// Reading a model from nginx behind a hub that redirects and fails.
@Suite(.enabled(if: Nginx.path != nil, "nginx is not installed: nothing is read from a server"))
struct HubReadingTests {
  private let home: TemporaryDirectory
  private let demo: DemoCopy

  init() throws {
    home = try TemporaryDirectory()
    demo = try DemoCopy()
  }

  private func client(_ server: HubServer, token: String? = nil) throws -> HubClient {
    var policy = RetryPolicy()
    policy.firstDelay = 0.002
    // Every second request may fail.
    policy.attempts = 20
    return HubClient(try HubSettings(server.environment(home: home.url.path, token: token)), policy: policy)
  }

  private func open(_ client: HubClient, blockBytes: Int = 64 << 10, storage: Hub.Storage? = nil) throws -> (
    hub: Hub, model: HubModel
  ) {
    let hub = try Hub(client, storage: storage, blockBytes: blockBytes)
    return (hub, try hub.open(HubReference("hf:\(HubServer.repository)")))
  }

  /// All bytes of all tensors, and the metadata.
  private func content(_ path: String) throws -> (metadata: Metadata, digests: [String: String]) {
    let model = try CheckpointDirectory(path: path)
    var digests: [String: String] = [:]
    for tensor in model.tensors {
      let rowBytes = try #require(tensor.type.rowBytes(columns: tensor.shape.columns))
      var bytes = [UInt8](repeating: 0, count: tensor.shape.rows * rowBytes)
      var span = bytes.mutableSpan
      var raw = span.mutableBytes
      try parallelRows(of: &raw, rowBytes: rowBytes, grain: max(1, 16384 / rowBytes)) { range, slice in
        try model.readBytes(of: tensor, rows: range, into: &slice)
      }
      digests[tensor.name] = DataDigest.hex(of: bytes)
    }
    return (model.metadata, digests)
  }

  private func expectSameContent(_ path: String) throws {
    let (expected, found) = (try content(demo.path), try content(path))
    #expect(found.digests == expected.digests)
    for key in expected.metadata.keys where key.hasPrefix("tokenizer.") || key.hasPrefix("llama.") {
      #expect(found.metadata[key] == expected.metadata[key])
    }
  }

  @Test func contentIsThatOfTheDisk() throws {
    let server = try HubServer(serving: demo.path)
    let client = try client(server)
    let (hub, model) = try open(client)
    try expectSameContent(model.path)
    #expect(model.commit == HubServer.commit)
    let traffic = client.traffic
    #expect(traffic.retries == 0)
    // Everything was read once, in blocks, and little besides.
    #expect(traffic.requestedBytes <= traffic.neededBytes * 21 / 20)
    withExtendedLifetime(hub) {}
  }

  /// A plan or a description needs the header of the weights alone.
  @Test func openingReadsNoWeights() throws {
    let server = try HubServer(serving: demo.path)
    let client = try client(server)
    let (hub, model) = try open(client, blockBytes: 4 << 20)
    _ = try CheckpointDirectory(path: model.path)
    #expect(client.traffic.receivedBytes < 400_000)
    withExtendedLifetime(hub) {}
  }

  @Test(arguments: [1, 2]) func fiftyFaultsAreSurvived(_ seed: UInt64) throws {
    let server = try HubServer(serving: demo.path)
    var random = SplitMix(seed: seed)
    let faults = (0..<50).map { _ in
      HubServer.Fault.allCases[Int(random.next() % UInt64(HubServer.Fault.allCases.count))]
    }
    server.inject(faults, seed: seed)
    let client = try client(server)
    let (hub, model) = try open(client)
    try expectSameContent(model.path)
    #expect(server.injected == 50)
    #expect(client.traffic.retries >= 30)
    withExtendedLifetime(hub) {}
  }

  /// A connection that ends early is continued at the byte, not begun again. A server may send small files whole, even where
  /// their rest is asked for.
  @Test(arguments: [HubServer.Ranges.ofAllFiles, .ofLargeFiles], [3, 5] as [UInt64])
  func truncatedBodiesAreContinued(_ ranges: HubServer.Ranges, _ seed: UInt64) throws {
    let server = try HubServer(serving: demo.path, ranges: ranges)
    server.inject(Array(repeating: .truncated, count: 20), seed: seed)
    let client = try client(server)
    let (hub, model) = try open(client)
    try expectSameContent(model.path)
    let traffic = client.traffic
    #expect(server.injected == 20 && traffic.receivedBytes <= traffic.neededBytes * 21 / 20)
    withExtendedLifetime(hub) {}
  }

  /// The first answers are of small files, whose continuation is of one file alone.
  @Test(arguments: [HubServer.Ranges.ofAllFiles, .ofLargeFiles])
  func truncatedSmallFilesAreContinued(_ ranges: HubServer.Ranges) throws {
    let server = try HubServer(serving: demo.path, ranges: ranges)
    let client = try client(server)
    let (hub, model) = try open(client)
    server.inject(Array(repeating: .truncated, count: 4), seed: 1, interval: 1)
    let path = "/tokenizer.json"
    let found = try PositionedFile(path: model.path + path)
    let expected = try PositionedFile(path: demo.path + path)
    #expect(try found.bytes(in: 0..<found.size) == expected.bytes(in: 0..<expected.size))
    #expect(server.injected == 4 && client.traffic.retries == 4)
    withExtendedLifetime(hub) {}
  }

  /// The digest of a large file is compared where the file is read from end to end.
  @Test(arguments: [nil, 3_000_000]) func largeFilesThatAreReadWholeAreCompared(_ damaged: Int?) throws {
    let server = try HubServer(serving: demo.path)
    if let damaged { server.damage(byteAt: damaged) }
    let (hub, model) = try open(try client(server))
    let file = try PositionedFile(path: model.path + "/model.safetensors")
    let read = {
      for start in stride(from: 0, to: file.size, by: 100_000) {
        _ = try file.bytes(in: start..<min(file.size, start + 100_000))
      }
    }
    if damaged == nil {
      try read()
    } else {
      let error = try #require(throws: FileError.self) { try read() }
      #expect(error.operation == .fetch && error.code == EBADMSG && !RunJournal.isWorthKeeping(after: error))
    }
    withExtendedLifetime(hub) {}
  }

  /// With little memory fewer blocks are requested ahead, and all the same bytes come.
  @Test func littleMemoryIsEnough() throws {
    let server = try HubServer(serving: demo.path)
    let client = try client(server)
    let hub = try Hub(client, blockBytes: 64 << 10, memory: 256 << 10)
    try expectSameContent(try hub.open(HubReference("hf:\(HubServer.repository)")).path)
    withExtendedLifetime(hub) {}
  }

  @Test func aServerThatFailsAlwaysIsNamed() throws {
    let server = try HubServer(serving: demo.path)
    server.inject(Array(repeating: .serverError, count: 1000), seed: 4, interval: 1)
    let (hub, model) = try open(try client(server))
    let error = try #require(throws: FileError.self) {
      _ = try PositionedFile(path: model.path + "/model.safetensors").bytes(in: 0..<8)
    }
    #expect(server.injected == 20)
    #expect(error.operation == .fetch && error.code == EIO)
    #expect(error.path == "hf:team/model/model.safetensors" && error.reason == "the server answers 500")
    withExtendedLifetime(hub) {}
  }

  /// A server that does not answer is named once, with the time until the run gives up; single errors are not.
  @Test(arguments: [false, true]) func waitsAreTold(_ answers: Bool) throws {
    let server = try HubServer(serving: demo.path)
    var settings = try HubSettings(server.environment(home: home.url.path))
    // No server has this port.
    if !answers { settings.endpoint = "http://127.0.0.1:1" }
    var policy = RetryPolicy()
    (policy.attempts, policy.firstDelay) = (4, 0.001)
    let waits = Mutex<[HubWait]>([])
    let client = HubClient(settings, policy: policy, onWait: { wait in waits.withLock { $0.append(wait) } })
    if answers {
      let (hub, model) = try open(client)
      server.inject([.serverError, .serverError], seed: 1, interval: 1)
      let file = try PositionedFile(path: model.path + "/config.json")
      _ = try file.bytes(in: 0..<file.size)
      #expect(server.injected == 2 && waits.withLock { $0 } == [])
      withExtendedLifetime(hub) {}
    } else {
      let error = try #require(throws: HubError.self) { try open(client) }
      let wait = try #require(waits.withLock { $0 }.first)
      #expect(waits.withLock { $0.count } == 1 && client.traffic.retries == 3)
      #expect(wait.server == "127.0.0.1:1" && wait.status == 0)
      #expect(error == .unreachable("hf:\(HubServer.repository)", reason: wait.reason))
      // 1, 2 and 4 ms, and the attempts.
      #expect(wait.seconds > 0.007)
    }
  }

  /// The token goes to the endpoint, and not to the port that a redirect names.
  @Test func tokensStayWithTheEndpoint() throws {
    let server = try HubServer(serving: demo.path)
    let (hub, model) = try open(try client(server, token: "hf_secret"))
    _ = try content(model.path)
    let requests = server.requests
    let (storage, endpoint) = (requests.filter(\.isStorage), requests.filter { !$0.isStorage })
    #expect(!storage.isEmpty && storage.allSatisfy { $0.request.headers["authorization"] == nil })
    #expect(!endpoint.isEmpty && endpoint.allSatisfy { $0.request.headers["authorization"] == "Bearer hf_secret" })
    withExtendedLifetime(hub) {}
  }

  @Test func aChangedSmallFileIsRefused() throws {
    // The description is made for each request: a file that changes later does not match it.
    let server = try HubServer(serving: demo.path)
    let (hub, model) = try open(try client(server))
    try demo.replace("\"model_type\"", by: "\"modal_type\"", in: "config.json")
    let error = try #require(throws: FileError.self) { _ = try CheckpointDirectory(path: model.path) }
    #expect(error.operation == .fetch && error.code == 0)
    withExtendedLifetime(hub) {}
  }

  @Test func serversWithoutRangesAreNamed() throws {
    let server = try HubServer(serving: demo.path, ranges: .ofNoFile)
    let (hub, model) = try open(try client(server))
    let error = try #require(throws: FileError.self) { _ = try CheckpointDirectory(path: model.path) }
    #expect(error.reason == "the server does not send parts of files")
    withExtendedLifetime(hub) {}
  }

  /// A second reading comes from the store, which keeps within its size.
  @Test(arguments: [100 << 20, 2 << 20]) func storeIsBounded(_ limit: Int) throws {
    let server = try HubServer(serving: demo.path)
    let storage = Hub.Storage(folder: home.path("store"), limit: limit)
    let first = try open(try client(server), storage: storage)
    try expectSameContent(first.model.path)
    let second = try client(server)
    let again = try open(second, storage: storage)
    try expectSameContent(again.model.path)
    let size = try FileManager.default.subpathsOfDirectory(atPath: home.path("store")).reduce(0) {
      $0 + ((try? PositionedFile(path: home.path("store/" + $1)).size) ?? 0)
    }
    #expect(size <= limit + 64)
    if limit > 10 << 20 {
      #expect(second.traffic.receivedBytes < 400_000)
    } else {
      #expect(second.traffic.receivedBytes < 7_600_000 && second.traffic.receivedBytes > 5_000_000)
    }
    withExtendedLifetime((first.hub, again.hub)) {}
  }

  /// A damaged block is read from the server again.
  @Test func damagedBlocksAreReplaced() throws {
    let server = try HubServer(serving: demo.path)
    let storage = Hub.Storage(folder: home.path("store"), limit: 100 << 20)
    let first = try open(try client(server), storage: storage)
    try expectSameContent(first.model.path)
    for name in try FileManager.default.subpathsOfDirectory(atPath: home.path("store")) where name.hasSuffix("/7") {
      var data = try Data(contentsOf: home.url.appending(path: "store/" + name))
      data[1000] ^= 1
      try data.write(to: home.url.appending(path: "store/" + name))
    }
    let again = try open(try client(server), storage: storage)
    try expectSameContent(again.model.path)
    withExtendedLifetime((first.hub, again.hub)) {}
  }

  /// Files in the cache of `hf download` are read there, with or without the network.
  @Test(arguments: [false, true]) func cachedFilesAreReadThere(_ isOffline: Bool) throws {
    let server = try HubServer(serving: demo.path)
    let snapshot = home.path("hub/models--team--model/snapshots/\(HubServer.commit)")
    try FileManager.default.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
    for name in demo.directory.contents {
      try FileManager.default.createSymbolicLink(
        atPath: snapshot + "/" + name, withDestinationPath: demo.path + "/" + name)
    }
    let refs = home.path("hub/models--team--model/refs")
    try FileManager.default.createDirectory(atPath: refs, withIntermediateDirectories: true)
    try HubServer.commit.write(toFile: refs + "/main", atomically: true, encoding: .utf8)
    var settings = try HubSettings(server.environment(home: home.url.path))
    settings.isOffline = isOffline
    let (hub, model) = try open(HubClient(settings))
    try expectSameContent(model.path)
    #expect(server.requests.count == (isOffline ? 0 : 1))
    withExtendedLifetime(hub) {}
  }
}
