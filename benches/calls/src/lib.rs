//! A filter that makes the calls that its configuration names, and does nothing
//! with what they give: what each of them costs.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MapType};
use std::ptr;
use std::rc::Rc;

/// Where a route has the name of its VirtualService.
const METADATA: [&str; 5] = ["xds", "route_metadata", "filter_metadata", "istio", "config"];

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

#[derive(Default)]
struct Root {
    calls: Rc<Vec<String>>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let names = self.get_plugin_configuration().unwrap_or_default();
        let names = String::from_utf8_lossy(&names);
        self.calls = Rc::new(names.split_whitespace().map(str::to_owned).collect());
        true
    }

    fn create_http_context(&self, _context_id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream {
            calls: Rc::clone(&self.calls),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    calls: Rc<Vec<String>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        for call in &*self.calls {
            match call.as_str() {
                "all" => all(MapType::HttpRequestHeaders),
                "property" => drop(self.get_property(vec!["request", "headers", "cookie"])),
                "metadata" => drop(self.get_property(METADATA.to_vec())),
                "set" => self.set_http_request_header("x-bluegreen-bucket", Some("56")),
                "add" => self.add_http_request_header("x-bluegreen-bucket", "56"),
                "set-another" => self.set_http_request_header("x-other", Some("56")),
                _ => {}
            }
        }
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        for call in &*self.calls {
            match call.as_str() {
                "all-response" => all(MapType::HttpResponseHeaders),
                "set-response" => self.set_http_response_header("x-other", Some("1")),
                "another-response" => self.set_http_response_header("x-another", Some("1")),
                "add-response" => self.add_http_response_header("x-other", "1"),
                _ => {}
            }
        }
        Action::Continue
    }
}

/// Asks for all headers, and reads none of them, which the SDK cannot.
fn all(map: MapType) {
    let (mut data, mut size) = (ptr::null_mut(), 0);
    // SAFETY: the host writes both results; what it leaves is a vector's memory, by the
    // SDK's allocating callback.
    unsafe {
        if proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) == 0 {
            drop(Vec::from_raw_parts(data, size, size));
        }
    }
}

unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
}
