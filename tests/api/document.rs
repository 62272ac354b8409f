//! The OpenAPI document and the documentation page.

use crate::harness::Running;

#[tokio::test]
async fn the_document_and_the_page_contain_every_resource() {
    let suite = Running::new().await;
    let anonymous = suite.anonymous();
    let document = anonymous.get("/openapi.json").await.is(200).json();
    let paths: Vec<&String> = document["paths"].as_object().unwrap().keys().collect();
    assert_eq!(
        paths,
        [
            "/fllws/{username}",
            "/latest",
            "/msgs",
            "/msgs/{username}",
            "/register"
        ]
    );
    let page = anonymous.get("/docs").await.is(200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for path in paths {
        assert!(page.contains(path.as_str()), "{path}");
    }
    assert!(
        !page.contains("//cdn") && !page.contains("<script"),
        "the page loads nothing from other hosts"
    );
    suite.stop().await;
}
