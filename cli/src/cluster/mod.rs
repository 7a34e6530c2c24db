//! A live cluster: its objects, and what programs in its pods say of themselves. Nothing
//! here changes anything.

mod objects;
mod tunnel;

pub(crate) use objects::{GATEWAY_API, ISTIO, LISTED, Listed};
pub(crate) use tunnel::{NoTunnel, Tunnel};

use crate::files::{File, KINDS};
use clap::Args;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, LogParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use std::rc::Rc;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// How long the API server may take to answer.
const LONGEST: Duration = Duration::from_secs(60);

/// Where the rights stand that it takes.
const RIGHTS: &str = "The rights that it takes: bluegreen doctor --rights";

/// Which cluster.
#[derive(Debug, Default, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub struct ClusterArgs {
    /// The context of the kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig [default: that of kubectl]
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<std::path::PathBuf>,
    /// The root namespace of the mesh
    #[arg(long, value_name = "NAMESPACE", default_value = "istio-system")]
    pub istio_namespace: String,
}

/// A cluster that answers.
pub(crate) struct Cluster {
    runtime: Runtime,
    client: Client,
    /// The version of its API server, as in `v1.34.4`.
    pub(crate) version: String,
}

impl Cluster {
    /// Connects to a cluster.
    ///
    /// # Errors
    /// When there is no kubeconfig, or nobody answers.
    pub(crate) fn new(args: &ClusterArgs) -> Result<Self, String> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        let connect = async {
            let client = client(args).await?;
            let version = client
                .apiserver_version()
                .await
                .map_err(|error| format!("the API server does not answer: {}", because(&error)))?;
            Ok::<_, String>((client, version.git_version))
        };
        let (client, version) = runtime.block_on(connect)?;
        Ok(Self {
            runtime,
            client,
            version,
        })
    }

    /// Runs what waits for the cluster.
    pub(crate) fn wait<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(what)
    }

    /// Returns the objects of a list, of one namespace or of all; none where the cluster
    /// does not know their kind.
    ///
    /// # Errors
    /// When they cannot be listed, with the right that it takes.
    pub(crate) fn list(&self, of: &Listed, namespace: Option<&str>) -> Result<Vec<Value>, String> {
        self.wait(objects::list(&self.client, of, namespace))
    }

    /// Returns the objects that `check` and `explain` know, each as a file.
    ///
    /// # Errors
    /// When some cannot be listed.
    pub(crate) fn files(&self, namespace: Option<&str>) -> Result<Vec<File>, String> {
        let mut files = Vec::new();
        for of in LISTED.iter().filter(|of| KINDS.contains(&of.kind)) {
            for object in self.list(of, namespace)? {
                files.push(file(of.kind, &object));
            }
        }
        Ok(files)
    }

    /// Returns a connection to a port of a pod.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) async fn tunnel(
        &self,
        namespace: &str,
        pod: &str,
        port: u16,
    ) -> Result<Tunnel, NoTunnel> {
        Tunnel::new(self.pods(namespace), namespace, pod, port).await
    }

    /// Returns the last lines of a container's log.
    ///
    /// # Errors
    /// When it cannot be had.
    pub(crate) async fn log(&self, namespace: &str, pod: &str) -> Result<String, String> {
        let lines = LogParams {
            container: Some("istio-proxy".to_owned()),
            tail_lines: Some(2000),
            ..LogParams::default()
        };
        let log = self.pods(namespace).logs(pod, &lines).await;
        log.map_err(|error| because(&error))
    }

    fn pods(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// Returns an object as a file, without what the API server keeps for itself.
fn file(kind: &str, object: &Value) -> File {
    let text = |key: &str| {
        let value = object.pointer(&format!("/metadata/{key}"));
        value.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let (name, namespace) = (text("name"), text("namespace"));
    let mut shown = object.clone();
    if let Some(map) = shown.as_object_mut() {
        map.remove("status");
        map.insert("kind".to_owned(), kind.into());
    }
    if let Some(metadata) = shown
        .pointer_mut("/metadata")
        .and_then(Value::as_object_mut)
    {
        // The annotations have the whole object once more.
        metadata.retain(|key, _| !["managedFields", "annotations"].contains(&key.as_str()));
    }
    let mut file = File::of_text(
        &format!("{kind} {name}.{namespace} of the cluster"),
        format!("{shown:#}\n"),
    );
    file.is_live = true;
    file
}

/// Returns what the objects of a list are: their roots.
pub(crate) fn roots(files: &[File]) -> impl Iterator<Item = &Rc<crate::yaml::Node>> {
    files.iter().flat_map(|file| &file.objects)
}

async fn client(args: &ClusterArgs) -> Result<Client, String> {
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let file = Kubeconfig::read_from(path).map_err(|error| because(&error))?;
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| because(&error))?
        }
        None if args.context.is_some() => {
            let config = Config::from_kubeconfig(&options).await;
            config.map_err(|error| because(&error))?
        }
        // In a pod: its service account.
        None => Config::infer().await.map_err(|error| {
            format!(
                "there is no kubeconfig, and this is no pod: {}",
                because(&error)
            )
        })?,
    };
    config.connect_timeout = Some(LONGEST);
    config.read_timeout = Some(LONGEST);
    Client::try_from(config).map_err(|error| because(&error))
}

/// Returns an error with all that it is because of, once each.
pub(crate) fn because(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
