//! Requests that want to go where they must not, and some that may go: through all of the host's checks, without a guest and
//! without a network. Each case says which rule has to stop it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Empty};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks as _};
use windlass_host::model::{GuestLimits, HttpGrant, Name, Namespace};
use windlass_host::sandbox::{Allowance, Gate, GateClosed, Http, LogBuffer, Network, Opening, Used, Vault};

use super::service::{Names, Service};

struct Open;

impl Gate for Open {
    fn pass(&self) -> Pin<Box<dyn Future<Output = Result<(), GateClosed>> + Send + '_>> {
        Box::pin(async { Ok(()) })
    }

    fn is_open(&self) -> bool {
        true
    }
}

struct Empties;

impl Vault for Empties {
    fn secret<'a>(&'a self, _namespace: &'a Namespace, _name: &'a Name) -> Opening<'a> {
        Box::pin(async { Ok(None) })
    }
}

/// Names and one path are granted, and one address. A grant of a name that ends in a number is impossible, so what looks like
/// an address can only be let through by one.
const GRANTS: [&str; 8] = [
    "*.example.com:*",
    "*.evil.example:*",
    "localhost:*",
    "metadata.google.internal:*",
    "*.nip.io:*",
    "GET,POST narrow.example/v1/pay/*",
    "xn--bcher-kva.example",
    "127.0.0.1:*",
];

struct Bench {
    names: Names,
    network: Arc<Network>,
}

impl Bench {
    fn new() -> Self {
        let names = Names::default();
        Self { network: Arc::new(Network::new(Arc::new(names.clone()))), names }
    }

    /// The code of the rule that stopped a request; `sent` if none did.
    async fn send(&self, request: http::request::Builder) -> String {
        let body: WasiBody = Empty::<Bytes>::new().map_err(|never| match never {}).boxed_unsync();
        let Ok(request) = request.body(body) else { return "unspeakable".into() };
        self.send_whole(request).await
    }

    async fn send_whole(&self, request: Request<WasiBody>) -> String {
        let grants: Arc<[HttpGrant]> = GRANTS.iter().map(|grant| grant.parse().expect(grant)).collect();
        let limits = Arc::new(GuestLimits::default());
        let allowance = Arc::new(Allowance {
            namespace: Namespace::new("default").expect("a namespace"),
            component: Name::new("component").expect("a name"),
            step: Name::new("step").expect("a name"),
            asked: grants.clone(),
            granted: grants,
            gate: Arc::new(Open),
            network: self.network.clone(),
            vault: Arc::new(Empties),
            log: LogBuffer::new(&limits),
            limits,
            used: Used::default(),
        });
        let patience = Some(Duration::from_secs(1));
        let options =
            RequestOptions { connect_timeout: patience, first_byte_timeout: patience, between_bytes_timeout: patience };
        let sending =
            Http::new(allowance.clone()).hooks.send_request(request, Some(options), Box::new(async { Ok(()) }));
        let result = Pin::from(sending).await;
        match allowance.refusal() {
            Some(refusal) => {
                assert!(result.is_err());
                assert!(!allowance.log.take().is_empty(), "people read why");
                refusal.rule.code().to_owned()
            }
            None => match result {
                Ok(_) | Err(Error::Connect(_) | Error::ConnectionTimeout) => "sent".into(),
                Err(error) => format!("{error}"),
            },
        }
    }

    async fn get(&self, url: &str) -> String {
        self.send(Request::get(uri(url))).await
    }
}

/// As `wasi:http` puts a URL together out of its parts. What it cannot put together is no URL at all.
fn uri(url: &str) -> Uri {
    let unspeakable = Uri::from_static("unspeakable:1");
    let Some((scheme, rest)) = url.split_once("://") else { return unspeakable };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().unwrap_or(unspeakable)
}

/// Ways to write 127.0.0.1, 169.254.169.254 and others so that a filter does not see it. The address itself is granted, and
/// these are refused all the same: whoever means it can write it.
const HOSTS: &str = "
    127.1 127.0.1 127.0.0.1. 127.0.0.01 127.0.0.001 0127.0.0.1 0177.0.0.1 0177.0.0.01 00000177.0.0.1 0x7f.1 0x7f.0.0.1
    0x7f.0x0.0x0.0x1 0x7F000001 0x7f000001 0X7F.0.0.1 017700000001 2130706433 02130706433 127.0.0.1.. 127.0.0.256 127.256
    127.0.0 127 0 0x0 00 1 1. 0.0.0 0x 127.0.0.0x1 127.0x0.0.1 0xa9.0xfe.0xa9.0xfe 0xA9FEA9FE 2852039166 0251.0376.0251.0376
    169.254.43518 169.16689662 425.510.425.510 0251.254.169.254 169.254.169.0254 10.1 0xa.1 012.1 167772161 192.168.1 3232235777
    127.0.0.1%00 127.0.0.1%2e %31%32%37.0.0.1 127%2e0%2e0%2e1 127.0.0.1%20 api.example.com%00.evil.example api%2eexample.com
    [::1%25lo] [::1%eth0] [fe80::1%25eth0] [::1 ::1] ::1 [127.0.0.1] [::ffff:127.1] [::ffff:0x7f.1] [1::2::3] [:::1] [::g]
    [::1]x [::1]. [] [::ffff:127.0.0.1.] [0000:0000:0000:0000:0000:0000:0000:00001] [v1.fe80::a] [::127.0.0.1.]
    user@127.0.0.1 user:password@api.example.com api.example.com@127.0.0.1 127.0.0.1@api.example.com @127.0.0.1
    api.example.com:80@127.0.0.1 user%40api.example.com@evil.example :@127.0.0.1 127.0.0.1:80:80 api.example.com:80:90
    127.0.0.1:0 127.0.0.1:65536 127.0.0.1:99999 127.0.0.1:080 127.0.0.1:+80 127.0.0.1:-80 127.0.0.1: api.example.com:
    127.0.0.1:8o 127.0.0.1:0x50 127.0.0.1:1e3 127.0.0.1:٨٠ 127.0.0.1:80;x 127.0.0.1:080000
    .example.com api..example.com ..example.com api.example.com.. -api.example.com api-.example.com api_.example.com
    . .. api.example.com\\@evil.example api.example.com\\.evil.example 127.0.0.1\\@api.example.com localhost\\
    bücher.example 127。0。0。1 １２７.０.０.１ ⑯⑨。②⑤④。①⑥⑨。②⑤④ api.example.com\u{200b} loc\u{ad}alhost ｌocalhost localhost\u{2024}
    api.example.com\0 api.example.com#@evil.example
    api.example.com?@evil.example api.example.com,evil.example api.example.com;evil.example *.example.com <api.example.com>
    {api}.example.com api.example.com| ^api.example.com `api`.example.com \"api\".example.com ''.example.com $.example.com
    !api.example.com ~.example.com api+x.example.com api=x.example.com api&x.example.com (api).example.com
";

#[tokio::test]
async fn a_host_that_can_be_read_in_two_ways_goes_nowhere() {
    let bench = Bench::new();
    let hosts: Vec<_> = HOSTS.split(' ').map(str::trim).filter(|host| !host.is_empty()).collect();
    for host in &hosts {
        let stopped = bench.get(&format!("http://{host}/")).await;
        assert!(["http-invalid", "unspeakable"].contains(&&*stopped), "{host:?}: {stopped}");
    }
    let blanks =
        ["api.example.com ", " api.example.com", "api.exam ple.com", "api.example.com\t", "a.example.com\r\nx:y", ""];
    for host in blanks {
        let stopped = bench.get(&format!("http://{host}/")).await;
        assert!(["http-invalid", "unspeakable"].contains(&&*stopped), "{host:?}: {stopped}");
    }
    for scheme in ["ftp", "file", "gopher", "ws", "dict", "ldap", "javascript", "unix", "http+unix", "data"] {
        let stopped = bench.get(&format!("{scheme}://127.0.0.1/")).await;
        assert!(["http-invalid", "unspeakable"].contains(&&*stopped), "{scheme}: {stopped}");
    }
    assert!(bench.names.asked().is_empty(), "nothing was looked up");
    assert!(hosts.len() >= 130, "{}", hosts.len());
}

/// Addresses of every kind that is not public, as they are written.
const ADDRESSES: &str = "
    0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.2 127.255.255.254 169.254.0.1
    169.254.169.254 169.254.170.2 169.254.170.23 168.63.129.16 172.16.0.1 172.31.255.255 192.0.0.1 192.0.0.192 192.0.2.1
    192.88.99.1 192.168.0.1 192.168.255.255 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255
    240.0.0.1 255.255.255.255 :: ::1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::127.0.0.1 ::ffff:0:127.0.0.1
    64:ff9b::127.0.0.1 64:ff9b::169.254.169.254 64:ff9b:1::1 64:ff9b:1:a9fe:a9:fe00:: 100::1 2001::1 2001:0:7f00:1:: 2001:2::1
    2001:10::1 2001:20::1 2001:db8::1 2002:7f00:1:: 2002:a00:1:: 2002:a9fe:a9fe:: 3fff::1 5f00::1 fc00::1 fd00::1 fd00:ec2::254
    fd00:ec2::23 fd20:ce::254 fe80::1 febf::1 fec0::1 ff02::1 ff0e::1 4000::1 ::2 2606:4700::5efe:10.0.0.1
";

fn addresses() -> Vec<&'static str> {
    ADDRESSES.split_whitespace().collect()
}

#[tokio::test]
async fn an_address_that_is_not_granted_by_itself_is_not_reached() {
    let bench = Bench::new();
    let addresses = addresses();
    for address in &addresses {
        let host = if address.contains(':') { format!("[{address}]") } else { (*address).to_owned() };
        assert_eq!(bench.get(&format!("http://{host}/")).await, "http-denied", "{address}");
        assert_eq!(bench.get(&format!("https://{host}:8443/")).await, "http-denied", "{address}");
    }
    for public in ["8.8.8.8", "1.1.1.1", "[2606:4700::1111]"] {
        assert_eq!(bench.get(&format!("http://{public}/")).await, "http-denied", "{public}");
    }
    assert!(addresses.len() >= 60, "{}", addresses.len());
}

#[tokio::test]
async fn a_name_that_is_granted_does_not_lead_to_what_is_not_public() {
    let (bench, service) = (Bench::new(), Service::open("127.0.0.1").await);
    for (number, address) in addresses().into_iter().enumerate() {
        let name = format!("n{number}.example.com");
        bench.names.lead(&name, &[&[address]]);
        assert_eq!(bench.get(&format!("http://{name}:{}/", service.port())).await, "http-address-blocked", "{address}");
        // A public address before it or behind it does not help.
        bench.names.lead(&name, &[&["8.8.8.8", address]]);
        assert_eq!(bench.get(&format!("https://{name}/")).await, "http-address-blocked", "{address}");
        bench.names.lead(&name, &[&[address, "2606:4700::1111"]]);
        assert_eq!(bench.get(&format!("https://{name}/")).await, "http-address-blocked", "{address}");
    }
    // As found in the wild: names that stand for addresses. 127.0.0.1 is granted by itself, and that makes no difference.
    for (name, address) in [
        ("localhost", "127.0.0.1"),
        ("LOCALHOST", "127.0.0.1"),
        ("localhost.", "127.0.0.1"),
        ("127.0.0.1.nip.io", "127.0.0.1"),
        ("169-254-169-254.nip.io", "169.254.169.254"),
        ("metadata.google.internal", "169.254.169.254"),
        ("rebind.evil.example", "::ffff:7f00:1"),
    ] {
        bench.names.lead(&name.trim_end_matches('.').to_ascii_lowercase(), &[&[address]]);
        let stopped = bench.get(&format!("http://{name}:{}/", service.port())).await;
        assert_eq!(stopped, "http-address-blocked", "{name}");
    }
    assert!(service.seen().is_empty());
}

/// The first answer is public and every later one is not. The host looks once, and connects to what it has looked at.
#[tokio::test]
async fn a_name_that_changes_its_mind_is_asked_only_once_for_a_request() {
    let (bench, service) = (Bench::new(), Service::open("127.0.0.1").await);
    bench.names.lead("rebind.evil.example", &[&["192.0.1.1"], &["127.0.0.1"]]);
    let url = format!("http://rebind.evil.example:{}/", service.port());
    let first = bench.get(&url).await;
    assert_eq!(bench.names.asked(), ["rebind.evil.example"], "{first}");
    assert_eq!(bench.get(&url).await, "http-address-blocked");
    assert_eq!(bench.names.asked().len(), 2);
    assert!(service.seen().is_empty());
}

/// `/v1/pay` is granted at `narrow.example`, to read and to write.
const PATHS: &str = r"
    / /v1 /v1/ /v1/payments /v1/pa /V1/pay /v1/Pay /v2/pay /admin /v1/pay/.. /v1/pay/../ /v1/pay/../admin /v1/pay/%2e%2e/admin
    /v1/pay/%2E%2E/admin /v1/pay/.%2e/admin /v1/pay/%2e./admin /v1/pay/x/../../admin /v1/pay/x/%2e%2e/%2e%2e/admin
    /v1/pay/./../admin /v1/pay//../admin /v1/pay/..//admin /v1/pay/..\admin /v1/pay/..%5cadmin /v1/pay/..%2fadmin
    /v1/pay%2f..%2fadmin /v1/pay%2fx /v1%2fpay/x /v1/pay/%252e%252e/admin /v1/pay/%25%32%65%25%32%65/admin /v1/pay/..;/admin
    /v1/pay/..;a=b/admin /v1/pay/%2e%2e;/admin /v1/pay/..%20/admin /v1/pay/..%09/admin /v1/pay/..%00/admin /v1/pay/x%0d%0ax
    /v1/pay/%c0%ae%c0%ae/../../admin /admin/../v1/pay /./v1/pay //v1/pay //evil.example/v1/pay /v1//pay /v1/./pay /%76%31/pay
    /v1/p%61y /v1/x/../pay /v1/pay;/../admin /v1/pay;x /v1/pay../admin /v1/pay.. /v1/pay/% /v1/pay/%2 /v1/pay/%g0 /v1?/pay
    /?/v1/pay /v1/pay/..?x
";

#[tokio::test]
async fn a_path_that_leads_out_of_what_was_granted_is_not_sent() {
    let bench = Bench::new();
    let paths: Vec<_> = PATHS.split_whitespace().collect();
    for path in &paths {
        let stopped = bench.get(&format!("https://narrow.example{path}")).await;
        assert!(["http-denied", "unspeakable"].contains(&&*stopped), "{path}: {stopped}");
    }
    for method in ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "PURGE", "PROPFIND"] {
        let request = Request::builder().method(method).uri("https://narrow.example/v1/pay");
        assert_eq!(bench.send(request).await, "http-denied", "{method}");
    }
    for method in ["get", "Get", "post", "CONNECT", "TRACE", "GET;X", "GET_", "G3T", "X'Y", "AVERYLONGMETHODTHATISNONE"]
    {
        let request = Request::builder().method(method).uri("https://narrow.example/v1/pay");
        let stopped = bench.send(request).await;
        assert!(["http-invalid", "unspeakable"].contains(&&*stopped), "{method}: {stopped}");
    }
    assert!(bench.names.asked().is_empty());
    assert!(paths.len() >= 50, "{}", paths.len());
}

#[tokio::test]
async fn headers_that_smuggle_are_refused() {
    let bench = Bench::new();
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "api.example.com"), ("host", "evil.example")],
        &[("host", "API.example.com")],
        &[("transfer-encoding", "chunked")],
        &[("transfer-encoding", "identity"), ("content-length", "5")],
        &[("content-length", "1"), ("content-length", "2")],
        &[("content-length", "+1")],
        &[("content-length", "1,2")],
        &[("content-length", "-1")],
        &[("x", "a\r\nhost: evil.example")],
        &[("x", "a\nb")],
        &[("x y", "z")],
        &[("x:", "z")],
    ] {
        let request = Request::get("https://api.example.com/");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let stopped = bench.send(request).await;
        assert!(["http-invalid", "unspeakable"].contains(&&*stopped), "{headers:?}: {stopped}");
    }
    for (url, value) in [("https://api.example.com/", "{{secret:x}}"), ("https://api.example.com/?k={{secret:x}}", "")]
    {
        assert_eq!(bench.send(Request::get(url).header("authorization", value)).await, "secret-denied", "{url}");
    }
    let long = Request::get("https://api.example.com/").header("x-long", "x".repeat(40_000));
    assert_eq!(bench.send(long).await, "http-request-too-large");
    assert!(bench.names.asked().is_empty());
}

/// What people do send.
#[tokio::test]
async fn what_is_granted_and_clear_is_sent() {
    let (bench, service) = (Bench::new(), Service::open("127.0.0.1").await);
    // None of these names is there: that they were looked up is all that can be seen.
    for (url, name) in [
        ("https://api.example.com/", "api.example.com"),
        ("https://api.example.com", "api.example.com"),
        ("https://api.example.com:8443/x", "api.example.com"),
        ("HTTPS://API.EXAMPLE.COM/", "api.example.com"),
        ("https://api.example.com./", "api.example.com"),
        ("http://a.b.c.example.com/", "a.b.c.example.com"),
        ("https://api-2.example.com/", "api-2.example.com"),
        ("https://1password.example.com/", "1password.example.com"),
        ("https://127.example.com/", "127.example.com"),
        ("https://0x7f.example.com/", "0x7f.example.com"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://api.example.com/a%2Fb/c", "api.example.com"),
        ("https://api.example.com/projects/group%2Fname?x=%2e%2e", "api.example.com"),
        ("https://api.example.com/a//b;c=d/..;/e", "api.example.com"),
        ("https://api.example.com/?next=http://127.0.0.1/", "api.example.com"),
        ("https://api.example.com/?q=a@b", "api.example.com"),
        ("https://narrow.example/v1/pay", "narrow.example"),
        ("https://narrow.example/v1/pay/", "narrow.example"),
        ("https://narrow.example/v1/pay?x=../..", "narrow.example"),
        ("https://narrow.example/v1/pay/7/refund", "narrow.example"),
        ("https://narrow.example/v1/pay/a%20b", "narrow.example"),
        ("https://narrow.example/v1/pay/caf%C3%A9", "narrow.example"),
        ("https://narrow.example/v1/pay/a.b..c", "narrow.example"),
        ("https://narrow.example/v1/pay/...", "narrow.example"),
        ("https://narrow.example/v1/pay/x/../y", "narrow.example"),
        ("https://narrow.example/v1/pay/~me/@you:1", "narrow.example"),
        ("https://narrow.example/v1/pay/100%25", "narrow.example"),
    ] {
        assert_eq!(bench.get(url).await, "sent", "{url}");
        assert_eq!(bench.names.asked().last().map(String::as_str), Some(name), "{url}");
    }
    // And here somebody is.
    let paths = ["/", "/echo", "/../x", "/a%2Fb", "/?q=1", "//double", "/bytes/10", "/stream/2000"];
    for path in paths {
        assert_eq!(bench.get(&service.url(path)).await, "sent", "{path}");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH"] {
        let request = Request::builder().method(method).uri(service.url("/")).header("connection", "close, x-drop");
        assert_eq!(bench.send(request.header("x-drop", "1").header("x-keep", "1")).await, "sent", "{method}");
    }
    let seen = service.seen();
    let targets: Vec<_> = seen.iter().take(paths.len()).map(|seen| seen.target.as_str()).collect();
    assert_eq!(targets, paths);
    let last = seen.last().expect("one");
    assert_eq!((last.headers.get("x-drop"), last.headers.get("x-keep")), (None, Some(&"1".to_owned())));
    assert_eq!(last.headers["host"], service.address);
}
