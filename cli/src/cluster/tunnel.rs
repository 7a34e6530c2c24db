//! A connection to a port of a pod, as `kubectl port-forward` makes it, with HTTP on it.

use super::{RIGHTS, because};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HeaderMap;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::client::UpgradeConnectionError;
use std::time::Duration;

/// The most bytes of an answer: a proxy of a mesh of ten thousand services has some 200 MB
/// of configuration.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// How long an answer may take.
const LONGEST: Duration = Duration::from_secs(60);

/// A connection to a port of a pod.
pub(crate) struct Tunnel {
    sender: SendRequest<Empty<Bytes>>,
    // Ends with it.
    _forward: kube::api::Portforwarder,
}

/// Why there is no connection.
#[derive(Debug)]
pub(crate) enum NoTunnel {
    /// The right is missing: which one.
    Forbidden(String),
    /// Another reason.
    Other(String),
}

impl From<NoTunnel> for String {
    fn from(no: NoTunnel) -> Self {
        match no {
            NoTunnel::Forbidden(why) | NoTunnel::Other(why) => why,
        }
    }
}

/// An answer.
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Vec<u8>,
}

impl Tunnel {
    pub(super) async fn new(
        pods: Api<Pod>,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<Self, NoTunnel> {
        let ports = [port];
        let forward = pods.portforward(pod, &ports);
        let forward = tokio::time::timeout(LONGEST, forward).await;
        let forward = forward.map_err(|_| NoTunnel::Other("no port-forward in time".to_owned()))?;
        let mut forward = forward.map_err(|error| match &error {
            // The API server says no more than the status.
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status))
                if status.as_u16() == 403 =>
            {
                NoTunnel::Forbidden(format!(
                    "pods/portforward of {pod} in the namespace {namespace} is forbidden\n{RIGHTS}"
                ))
            }
            _ => NoTunnel::Other(because(&error)),
        })?;
        let stream = forward.take_stream(port);
        let stream = stream.ok_or_else(|| NoTunnel::Other("no stream".to_owned()))?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| NoTunnel::Other(because(&error)))?;
        tokio::spawn(connection);
        Ok(Self {
            sender,
            _forward: forward,
        })
    }

    /// Returns the body that stands at a path.
    ///
    /// # Errors
    /// When there is none, or the status is not 200.
    pub(crate) async fn text(&mut self, path: &str) -> Result<Vec<u8>, String> {
        let answer = self.get(path, &[("host", b"localhost")]).await?;
        if answer.status != 200 {
            return Err(format!("{path}: status {}", answer.status));
        }
        Ok(answer.body)
    }

    /// Returns the answer of a path to a request with these headers.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) async fn get(
        &mut self,
        path: &str,
        headers: &[(&str, &[u8])],
    ) -> Result<Answer, String> {
        let mut request = Request::builder().method(Method::GET).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Empty::new());
        let request = request.map_err(|error| error.to_string())?;
        let whole = async {
            self.sender.ready().await.map_err(|error| closed(&error))?;
            let answer = self.sender.send_request(request).await;
            let answer = answer.map_err(|error| closed(&error))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, MOST_BYTES).collect().await;
            let body = body.map_err(|error| error.to_string())?;
            Ok(Answer {
                status: head.status.as_u16(),
                headers: head.headers,
                body: body.to_bytes().to_vec(),
            })
        };
        let answer = tokio::time::timeout(LONGEST, whole).await;
        answer.map_err(|_| format!("{path}: no answer in time"))?
    }
}

/// Returns why there is no answer: how far hyper was when a port closed is chance.
fn closed(error: &hyper::Error) -> String {
    if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        "nobody listens there, or the connection was closed".to_owned()
    } else {
        because(error)
    }
}
