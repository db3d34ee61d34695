import Foundation
import Hub
import Testing

/// References, digests, waiting times and origins.
@Suite struct HubRulesTests {
  @Test(
    arguments: [
      ("hf:a/b", "a/b", "main", nil, "hf:a/b"),
      ("hf:a/b/", "a/b", "main", nil, "hf:a/b"),
      ("hf:a/b@v1.0", "a/b", "v1.0", nil, "hf:a/b@v1.0"),
      ("hf:a/b@refs/pr/12", "a/b", "refs/pr/12", nil, "hf:a/b@refs/pr/12"),
      ("hf:a/b/c.gguf", "a/b", "main", "c.gguf", "hf:a/b/c.gguf"),
      ("hf:a/b@refs/pr/1/Q4/c.gguf", "a/b", "refs/pr/1", "Q4/c.gguf", "hf:a/b@refs/pr/1/Q4/c.gguf"),
    ] as [(String, String, String, String?, String)])
  func references(_ text: String, _ repository: String, _ revision: String, _ file: String?, _ again: String) throws {
    let reference = try HubReference(text)
    #expect(reference.repository == repository && reference.revision == revision && reference.file == file)
    #expect(reference.description == again)
  }

  @Test(arguments: ["hf:", "hf:a", "hf:a/", "hf:/b", "hf:a/b@", "hf:a/../c", "hf:a/b/../../c", "hf:a/b c", "a/b"])
  func badReferences(_ text: String) {
    #expect(throws: HubError.badReference(text)) { try HubReference(text) }
  }

  /// `printf 'hello\n' | git hash-object --stdin`, and the same of nothing and of a thousand letters.
  @Test func gitBlobs() {
    #expect(GitBlob.digest(of: Array("hello\n".utf8)) == "ce013625030ba8dba906f756967f9e9ca394464a")
    #expect(GitBlob.digest(of: []) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391")
    #expect(GitBlob.digest(of: [UInt8](repeating: 97, count: 1000)) == "a50be72b20f0e3f078d252e8e56b11b4bec67509")
  }

  @Test func delaysGrowAndAreBounded() {
    let policy = RetryPolicy()
    let delays = (1...12).map { policy.delay(after: $0, nil, random: 1) }
    #expect(Array(delays.prefix(4)) == [0.5, 1, 2, 4] && delays.last == 30)
    #expect(policy.delay(after: 2, nil, random: 0) == 0.5)
  }

  /// All delays of the remaining attempts, and each attempt as long as the last one.
  @Test func theLastAttemptIsForeseen() {
    var answer = HTTPAnswer()
    #expect(RetryPolicy().maximumSeconds(after: 1, answer) == 61.5)
    answer.seconds = 20
    #expect(RetryPolicy().maximumSeconds(after: 6, answer) == 86)
    answer = HTTPAnswer(status: 429)
    answer.headers["retry-after"] = "7"
    #expect(RetryPolicy().maximumSeconds(after: 6, answer) == 15)
    #expect(RetryPolicy().maximumSeconds(after: 8, answer) == 0)
  }

  @Test(arguments: [
    (429, "retry-after", "7", 7.0), (503, "retry-after", "Thu, 01 Jan 1970 00:01:30 GMT", 90),
    (429, "ratelimit", "\"api\";r=0;t=55", 55), (429, "retry-after", "99999", 600),
    (500, "ratelimit", "r=0;t=55", 0.25),
    (429, "retry-after", "soon", 0.25),
  ])
  func serversNameATime(_ status: Int, _ header: String, _ value: String, _ seconds: Double) {
    var answer = HTTPAnswer(status: status)
    answer.headers[header] = value
    #expect(RetryPolicy().delay(after: 1, answer, random: 0, now: Date(timeIntervalSince1970: 0)) == seconds)
  }

  @Test func originsDifferByHostSchemeAndPort() {
    let origin = Origin("https://hub.example/a")
    #expect(origin == Origin("HTTPS://Hub.Example:443/b?c"))
    for other in [
      "http://hub.example/a", "https://hub.example:444/a", "https://hub.example.evil/a", "https://evil/hub.example",
      "https://hub.example@evil/a",
    ] { #expect(Origin(other) != nil && Origin(other) != origin) }
    #expect(Origin("file:///etc/passwd") == nil)
  }
}
