import Foundation
import TestSupport
import Testing

/// Commands with `hf:ORG/NAME`.
@Suite(.enabled(if: Nginx.path != nil, "nginx is not installed: nothing is read from a server"))
struct HubCommandTests {
  private let qtool = Binary(beside: .module)
  private let home: TemporaryDirectory
  private let out: TemporaryDirectory
  private let demo: DemoCopy

  init() throws {
    home = try TemporaryDirectory()
    out = try TemporaryDirectory()
    demo = try DemoCopy()
  }

  private func run(
    _ arguments: [String], _ server: HubServer, token: String? = nil, _ more: [String: String] = [:]
  ) throws -> Binary.Result {
    try qtool.run(
      arguments, environment: server.environment(home: home.url.path, token: token).merging(more) { $1 })
  }

  /// One line, a hint and an exit code, without this machine's folders. Nothing is written.
  private func expectRefusal(
    _ result: Binary.Result, _ status: Int32, _ message: String, at location: SourceLocation = #_sourceLocation
  ) {
    let lines = result.error.split(separator: "\n")
    #expect(result.status == status && result.error.contains(message), "\(result.error)", sourceLocation: location)
    #expect(lines.count == 2 && lines.last?.hasPrefix("hint: ") == true, "\(result.error)", sourceLocation: location)
    #expect(!result.error.contains("qtool-hub") && out.contents.isEmpty, "\(result.error)", sourceLocation: location)
  }

  /// The same bytes as from a folder of the repository's name, while requests fail; no secret and no path is written.
  @Test func filesEqualThoseFromTheDisk() throws {
    let folder = out.path("model")
    try FileManager.default.copyItem(atPath: demo.path, toPath: folder)
    let disk = try qtool.run(
      ["quantize", folder, "--no-feedback", "--type", "Q4_K_M", "-o", out.path("disk.gguf"), "--quiet"])
    #expect(disk.status == 0, "\(disk.error)")
    let server = try HubServer(serving: demo.path)
    server.inject([.serverError, .truncated, .expired, .otherRange, .closed, .otherVersion, .tooManyRequests], seed: 5)
    let result = try run(
      ["quantize", "hf:team/model", "--no-feedback", "--type", "Q4_K_M", "-o", out.path("hub.gguf")], server,
      token: "hf_secret")
    #expect(result.status == 0, "\(result.error)")
    #expect(server.injected == 7)
    let file = try Data(contentsOf: out.url.appending(path: "hub.gguf"))
    #expect(try file == Data(contentsOf: out.url.appending(path: "disk.gguf")))
    #expect(!result.error.contains("hf_secret") && !result.error.contains("signature="))
    #expect(file.range(of: Data("hf_secret".utf8)) == nil)
    #expect(out.contents == ["disk.gguf", "hub.gguf", "model"])
    // One-pass commands keep nothing.
    #expect(!FileManager.default.fileExists(atPath: home.path("cache/qtool/hub")))
  }

  @Test(arguments: [
    ["inspect", "hf:team/model"],
    ["tokenize", "hf:team/model", "--text", Repository.root.path + "/Examples/held-out.txt"],
    ["plan", "hf:team/model"],
    ["plan", "hf:team/model/config.json"],
    ["quantize", "hf:team/model", "--type", "Q4_K_M", "--no-feedback", "--dry-run"],
  ])
  func commandsTakeAModelOfTheHub(_ arguments: [String]) throws {
    let server = try HubServer(serving: demo.path)
    let result = try run(arguments, server)
    #expect(result.status == 0 && !result.output.isEmpty, "\(result.error)")
    let local = try qtool.run(arguments.map { $0.replacing("hf:team/model", with: demo.path) })
    #expect(local.status == 0)
    #expect(!result.output.contains("qtool-hub"))
  }

  @Test func aPlanReadsNeitherTokenizerNorWeights() throws {
    let server = try HubServer(serving: demo.path)
    let result = try run(["plan", "hf:team/model"], server)
    #expect(result.status == 0, "\(result.error)")
    let paths = server.requests.map(\.request.path)
    #expect(paths.contains { $0.hasSuffix("/config.json") })
    #expect(!paths.contains { $0.contains("tokenizer.json") || $0.contains("safetensors") })
  }

  @Test func aFileOfTheRepositoryIsAModel() throws {
    let repository = try TemporaryDirectory()
    let made = try qtool.run(
      ["quantize", demo.path, "--no-feedback", "--type", "Q8_0", "-o", repository.path("a.gguf"), "--quiet"])
    #expect(made.status == 0)
    let server = try HubServer(serving: repository.url.path)
    let expected = try qtool.run(["inspect", repository.path("a.gguf"), "--json"])
    let found = try run(["inspect", "hf:team/model/a.gguf", "--json"], server)
    #expect(found.status == 0 && found.output == expected.output, "\(found.error)")
    // Without the file's name, the files are listed by their references.
    let whole = try run(["inspect", "hf:team/model"], server)
    #expect(whole.status == 66 && whole.error.contains("hf:team/model/a.gguf"), "\(whole.error)")
  }

  @Test(
    arguments: [
      ("hf:team", 64, "is not hf:ORG/NAME"), ("hf:nobody/nothing", 66, "no such repository"),
      ("hf:team/model@v9", 66, "no revision v9"), ("hf:team/model/none.gguf", 66, "no such file in the repository"),
    ] as [(String, Int32, String)])
  func badReferences(_ model: String, _ status: Int32, _ message: String) throws {
    let server = try HubServer(serving: demo.path)
    let result = try run(
      ["quantize", model, "--no-feedback", "--type", "Q8_0", "-o", out.path("out.gguf"), "--quiet"], server)
    expectRefusal(result, status, message)
  }

  @Test(
    arguments: [
      ("403 Forbidden", "GatedRepo", nil, "its owners have not granted access; there is no token"),
      ("403 Forbidden", "GatedRepo", "hf_secret", "have not granted access to the owner of this token"),
      ("401 Unauthorized", nil, nil, "no such repository, or a private one"),
      ("401 Unauthorized", nil, "hf_secret", "the hub does not accept the token"),
    ] as [(String, String?, String?, String)])
  func refusals(_ status: String, _ code: String?, _ token: String?, _ message: String) throws {
    let server = try HubServer(serving: demo.path, refusals: ["/api/": (status, code)])
    let result = try run(["inspect", "hf:team/model"], server, token: token)
    expectRefusal(result, 66, message)
    #expect(!result.error.contains("hf_secret"))
  }

  /// The hub describes gated models to everybody. Access is refused to their files, or withdrawn when some are read.
  @Test(arguments: ["config.json", "model.safetensors"], [nil, "hf_secret"])
  func refusedFiles(_ file: String, _ token: String?) throws {
    let server = try HubServer(
      serving: demo.path,
      refusals: ["/\(HubServer.repository)/resolve/\(HubServer.commit)/\(file)": ("403 Forbidden", "GatedRepo")])
    let result = try run(["convert", "hf:team/model", "-o", out.path("out.gguf"), "--quiet"], server, token: token)
    #expect(result.status == 66 && !result.error.contains("hf_secret"), "\(result.error)")
    let lines = result.error.split(separator: "\n")
    #expect(lines.count == 2)
    #expect(lines[0].hasPrefix("qtool: hf:team/model: its owners have not granted access"), "\(result.error)")
    #expect(lines[1].hasPrefix("hint: ask for access on the model's page"), "\(result.error)")
    #expect(out.contents.isEmpty)
  }

  /// A connection that a server closes without an answer. The next one is answered.
  @Test(arguments: [false, true]) func aServerThatDoesNotAnswerIsNamed(_ isQuiet: Bool) throws {
    let server = try HubServer(serving: demo.path)
    server.inject([.closed], seed: 1, interval: 1)
    let result = try run(
      ["convert", "hf:team/model", "-o", out.path("out.gguf")] + (isQuiet ? ["--quiet"] : []), server)
    #expect(result.status == 0 && server.injected == 1, "\(result.error)")
    if isQuiet { return #expect(result.error == "") }
    let line = try #require(result.error.split(separator: "\n").first { $0.contains("does not answer") })
    #expect(line.hasPrefix("127.0.0.1:"), "\(line)")
    #expect(line.hasSuffix("; trying again for up to 1 min 2 s"), "\(line)")
  }

  @Test func anEmptyRepositoryIsNamed() throws {
    let server = try HubServer(serving: try TemporaryDirectory().url.path)
    let result = try run(["convert", "hf:team/model", "-o", out.path("out.gguf"), "--quiet"], server)
    expectRefusal(result, 66, "hf:team/model: holds no config.json")
  }

  @Test func offlineNeedsACache() throws {
    let server = try HubServer(serving: demo.path)
    let result = try run(["inspect", "hf:team/model"], server, ["HF_HUB_OFFLINE": "1"])
    expectRefusal(result, 66, "HF_HUB_OFFLINE is set")
    #expect(server.requests.isEmpty)
  }

  @Test(arguments: ["ftp://127.0.0.1", "127.0.0.1:80", "hub.example"]) func badEndpoints(_ endpoint: String) throws {
    let server = try HubServer(serving: demo.path)
    let result = try run(["inspect", "hf:team/model"], server, ["HF_ENDPOINT": endpoint])
    expectRefusal(result, 64, "HF_ENDPOINT \(endpoint): is not the address of a server")
    #expect(server.requests.isEmpty)
  }

  @Test func aServerWithoutRangesIsNamed() throws {
    let server = try HubServer(serving: demo.path, ranges: .ofNoFile)
    let result = try run(["convert", "hf:team/model", "-o", out.path("out.gguf"), "--quiet"], server)
    expectRefusal(result, 74, "does not send parts of files")
    #expect(result.error.contains("\nhint: set HF_ENDPOINT to another server"), "\(result.error)")
  }

  /// A repository without a configuration, or without weights, is not a model.
  @Test(arguments: ["config.json", "model.safetensors"])
  func repositoriesThatAreNoModelsAreNamed(_ missing: String) throws {
    try FileManager.default.removeItem(atPath: demo.path + "/" + missing)
    let server = try HubServer(serving: demo.path)
    let result = try run(["convert", "hf:team/model", "-o", out.path("out.gguf"), "--quiet"], server)
    expectRefusal(result, 66, "hf:team/model")
  }

  /// Bytes that were changed on their way, under the right version, end the run; nothing is left that would go on with them.
  @Test func damagedWeightsAreNoticed() throws {
    let repository = try TemporaryDirectory()
    let made = try qtool.run(["convert", demo.path, "-o", repository.path("a.gguf"), "--quiet"])
    #expect(made.status == 0)
    let server = try HubServer(serving: repository.url.path)
    server.damage(byteAt: 6_000_000)
    let result = try run(["convert", "hf:team/model/a.gguf", "-o", out.path("out.gguf"), "--quiet"], server)
    expectRefusal(result, 65, "do not match the SHA-256")
  }

  #if os(Linux)
    /// The disk becomes full while several files are written. The same command goes on when there is space.
    @Test(.enabled(if: geteuid() == 0 && SmallDisk.canMount, "needs to mount a file system"))
    func runsThatFilledTheDiskGoOn() throws {
      let disk = try SmallDisk(megabytes: 9)
      let server = try HubServer(serving: demo.path)
      server.onRequest {
        if disk.contents.contains("out-Q8_0.gguf.part"), !disk.contents.contains("filler") { disk.fill() }
      }
      let arguments = [
        "quantize", "hf:team/model", "--no-feedback", "--type", "Q8_0", "--type", "Q4_0", "-o",
        disk.path("out-{mix}.gguf"), "--quiet",
      ]
      let result = try run(arguments, server)
      #expect(result.status == 74 && result.error.contains("the disk is full"), "\(result.error)")
      #expect(!disk.contents.contains("out-Q8_0.gguf") && disk.contents.contains("out-Q8_0.gguf.journal"))
      let early = try run(arguments, server)
      #expect(early.status == 73 && early.error.contains("the disk lacks"), "\(early.error)")
      server.onRequest {}
      disk.empty()
      let last = try run(arguments, server)
      #expect(last.status == 0, "\(last.error)")
      for mix in ["Q8_0", "Q4_0"] {
        let single = try qtool.run(
          ["quantize", demo.path, "--no-feedback", "--type", mix, "-o", out.path("\(mix).gguf"), "--quiet"])
        #expect(single.status == 0)
        let check = try qtool.run(["diff", disk.path("out-\(mix).gguf"), out.path("\(mix).gguf")])
        #expect(check.status == 0, "\(check.output)")
      }
      #expect(disk.contents == ["out-Q4_0.gguf", "out-Q8_0.gguf"])
    }
  #endif
}
